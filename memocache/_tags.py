"""Tags: names for groups of calls that are forgotten together; and the templates that tags=, key= and uncaches() share.

In a template, parameters and their attributes stand by name: "user:{user_id}", "user:{user.id}". No indices or formats.
"""

import re
import string
import sys
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, Final

from memocache.errors import ConfigurationError, UnkeyableArgument, with_article

__all__ = [
    *("Tags", "fill_template", "join_names", "parameter_of", "plain_text", "read_field", "tag_name"),
    *("template_names", "template_shape"),
]

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
        self._patterns: list[re.Pattern[str]] | None = None
        known = tuple(parameters)
        self._fields = {each: _names_in_tag(title, each, known) for each in self._templates}
        named = dict.fromkeys(field for fields in self._fields.values() for field in fields)
        self.names = tuple(dict.fromkeys(map(parameter_of, named)))
        """The parameters that the templates name."""
        self.have_attributes = any("." in field for field in named)
        """True if calls with the same arguments may have other tags, since attributes change."""

    def __bool__(self) -> bool:
        return bool(self._templates)

    def of_call(self, values: tuple[object, ...]) -> tuple[str, ...]:
        """Return the names of the tags of the call whose arguments for `names` are *values*."""
        return tuple(map(tag_name, self.texts(values)))

    def texts(self, values: tuple[object, ...]) -> tuple[str, ...]:
        """Return the tags of that call as a user writes them."""
        arguments = dict(zip(self.names, values, strict=True))
        return tuple(self._filled(template, arguments) for template in self._templates)

    def may_give(self, tag: str) -> bool:
        """Return True if there may be calls that have *tag*."""
        if self._patterns is None:
            self._patterns = [re.compile(_pattern(each), re.DOTALL) for each in self._templates]
        return any(pattern.fullmatch(tag) for pattern in self._patterns)

    def where(self, some: Mapping[str, object]) -> str:
        """Return the name of the tag of the calls with *some* arguments; ConfigurationError if none has these."""
        for template, fields in self._fields.items():
            if fields and set(map(parameter_of, fields)) == some.keys():
                return tag_name(self._filled(template, some))
        wanted = ":".join(f"{{{name}}}" for name in some) or "{parameter}"
        raise ConfigurationError(
            f"{self._title}: uncache_where({', '.join(some)}) needs a template in tags= that names just these "
            f"parameters, such as tags=('{self._title}:{wanted}',); there are: {join_names(self._templates)}"
        )

    def _filled(self, template: str, arguments: Mapping[str, object]) -> str:
        texts = {field: self._text(field, read_field(field, arguments)) for field in self._fields[template]}
        return fill_template(template, texts)

    def _text(self, field: str, value: Any) -> str:
        text = plain_text(value)
        if text is None:
            what = "parameter" if "." not in field else "attribute"
            raise UnkeyableArgument(
                f"{self._title}: {what} {field!r} cannot be part of a tag, since it is {with_article(type(value))}; "
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
    """Return the fields of *template*, parameters and attributes of such, in order; ConfigurationError for all else.

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
        words = name.split(".")
        if form or conversion or words[0] not in parameters or not all(map(str.isidentifier, words)):
            field = name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            raise ConfigurationError(
                f"{where} has {{{field}}}, which is no parameter; there are: {join_names(parameters)}. "
                "A template names parameters, and attributes of them as in {user.id}, without indices or formats"
                f"{more}"
            )
        names.append(name)
    return tuple(names)


def parameter_of(field: str) -> str:
    """Return the name of the parameter of which a *field* is an attribute, or which it is itself."""
    return field.partition(".")[0]


def read_field(field: str, arguments: Mapping[str, Any]) -> Any:
    """Return the value of a *field* of a template, given the *arguments* by the names of their parameters."""
    value = arguments[parameter_of(field)]
    for attribute in field.split(".")[1:]:
        value = getattr(value, attribute)
    return value


def fill_template(template: str, texts: Mapping[str, str]) -> str:
    """Return *template* with *texts* in place of the names in it."""
    parts = string.Formatter().parse(template)
    return "".join(literal + ("" if name is None else texts[name]) for literal, name, _, _ in parts)


def template_shape(template: str) -> str:
    """Return *template* without the names in it."""
    parts = string.Formatter().parse(template)
    return "".join(literal + ("" if name is None else "{}") for literal, name, _, _ in parts)


def _pattern(template: str) -> str:
    """Return the regular expression of the tags that *template* can give."""
    parts = string.Formatter().parse(template)
    return "".join(re.escape(literal) + ("" if name is None else ".*") for literal, name, _, _ in parts)


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
