"""Tags: names for groups of calls that are forgotten together; and the templates that tags=, key= and uncaches() share.

In a template, parameters stand by name: "user:{user_id}". No attributes, indices or formats.
"""

import string
import sys
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, Final

from memocache.errors import ConfigurationError, UnkeyableArgument

__all__ = ["Tags", "fill_template", "join_names", "plain_text", "tag_name", "template_names", "template_shape"]

# Types whose text says which value it is, in every process and version of Python. By name: not all are always imported.
PLAIN_TYPES: Final = frozenset(
    {
        *((each.__module__, each.__qualname__) for each in (str, int, bool, float, type(None))),
        *(("uuid", "UUID"), ("decimal", "Decimal"), ("datetime", "date"), ("datetime", "datetime")),
    }
)


class Tags:
    """The tags of one function: the option tags=, checked against the function's parameters."""

    def __init__(self, title: str, templates: object, parameters: Iterable[str]) -> None:
        if isinstance(templates, str) or not isinstance(templates, Iterable):
            raise ConfigurationError(
                f"{title}: tags={templates!r}; wanted: a tuple of templates, such as tags=('tenant:{{tenant_id}}',)"
            )
        self._title = title
        self._templates = tuple(templates)
        known = tuple(parameters)
        self._fields = {each: _names_in_tag(title, each, known) for each in self._templates}
        self.names = tuple(dict.fromkeys(name for fields in self._fields.values() for name in fields))
        """The parameters that the templates name."""

    def __bool__(self) -> bool:
        return bool(self._templates)

    def of_call(self, values: tuple[object, ...]) -> tuple[str, ...]:
        """Return the names of the tags of the call whose arguments for `names` are *values*."""
        texts = {name: self._text(name, value) for name, value in zip(self.names, values, strict=True)}
        return tuple(tag_name(fill_template(template, texts)) for template in self._templates)

    def where(self, some: Mapping[str, object]) -> str:
        """Return the name of the tag of the calls with *some* arguments; ConfigurationError if none has these."""
        for template, fields in self._fields.items():
            if fields and set(fields) == some.keys():
                texts = {name: self._text(name, value) for name, value in some.items()}
                return tag_name(fill_template(template, texts))
        wanted = ":".join(f"{{{name}}}" for name in some) or "{parameter}"
        raise ConfigurationError(
            f"{self._title}: uncache_where({', '.join(some)}) needs a template in tags= that names just these "
            f"parameters, such as tags=('{self._title}:{wanted}',); there are: {join_names(self._templates)}"
        )

    def _text(self, name: str, value: Any) -> str:
        text = plain_text(value)
        if text is None:
            raise UnkeyableArgument(
                f"{self._title}: parameter {name!r} cannot be part of a tag, since it is a {type(value).__qualname__}; "
                "tags= names parameters that are text, numbers, dates, UUIDs or None"
            )
        return text


def tag_name(tag: str) -> str:
    """Return the name under which caches know *tag*."""
    return "tag:" + blake2b(tag.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _names_in_tag(title: str, template: object, parameters: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(template, str) or not template:
        raise ConfigurationError(f"{title}: tags= has {template!r}; wanted: templates such as 'tenant:{{tenant_id}}'")
    return template_names(f"{title}: tags={template!r}", template, parameters)


# ---- templates -------------------------------------------------------------------------------------------------------


def template_names(where: str, template: str, parameters: Iterable[str], more: str = "") -> tuple[str, ...]:
    """Return the parameters that *template* names, in order; ConfigurationError for all else that it has in braces.

    *where* it stands and what to do for *more* than it can are for the message.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ConfigurationError(f"{where} is no template: {error}") from None
    names = []
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if form or conversion or name not in parameters:
            field = name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            raise ConfigurationError(
                f"{where} has {{{field}}}, which is no parameter; there are: {join_names(parameters)}. "
                f"A template names parameters only, without attributes, indices or formats{more}"
            )
        names.append(name)
    return tuple(names)


def fill_template(template: str, texts: Mapping[str, str]) -> str:
    """Return *template* with *texts* in place of the names in it."""
    parts = string.Formatter().parse(template)
    return "".join(literal + ("" if name is None else texts[name]) for literal, name, _, _ in parts)


def template_shape(template: str) -> str:
    """Return *template* without the names in it."""
    parts = string.Formatter().parse(template)
    return "".join(literal + ("" if name is None else "{}") for literal, name, _, _ in parts)


def plain_text(value: Any) -> str | None:
    """Return the text of *value*; None if that does not say which value it is."""
    kind = type(value)
    if (kind.__module__, kind.__qualname__) not in PLAIN_TYPES:
        return None
    if kind is not type(None) and getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is not kind:
        return None
    return str(value)


def join_names(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"
