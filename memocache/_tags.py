"""Tags: names that a call's arguments are filled in, for groups of calls that are forgotten together."""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from memocache._templates import filled, listed, named, plain_text
from memocache.errors import ConfigurationError, UnkeyableArgument

__all__ = ["Tags", "tag_group"]


class Tags:
    """The option tags=, checked against the function's parameters."""

    def __init__(self, title: str, templates: object, parameters: Iterable[str]) -> None:
        if isinstance(templates, str) or not isinstance(templates, Iterable):
            raise ConfigurationError(
                f"{title}: tags={templates!r}; wanted: a tuple of templates, such as tags=('tenant:{{tenant_id}}',)"
            )
        self._title = title
        self._templates = tuple(templates)
        known = tuple(parameters)
        self._fields = {each: _fields(title, each, known) for each in self._templates}
        self.names = tuple(dict.fromkeys(name for fields in self._fields.values() for name in fields))
        """The parameters that the templates name."""

    def __bool__(self) -> bool:
        return bool(self._templates)

    def groups(self, values: tuple[object, ...]) -> tuple[str, ...]:
        """Return the groups of the call whose arguments for `names` are *values*."""
        texts = {name: self._text(name, value) for name, value in zip(self.names, values, strict=True)}
        return tuple(tag_group(filled(template, texts)) for template in self._templates)

    def where(self, some: Mapping[str, object]) -> str:
        """Return the group of the calls with *some* arguments; ConfigurationError if no template names just these."""
        for template, fields in self._fields.items():
            if fields and set(fields) == some.keys():
                return tag_group(filled(template, {name: self._text(name, value) for name, value in some.items()}))
        wanted = ":".join(f"{{{name}}}" for name in some) or "{parameter}"
        raise ConfigurationError(
            f"{self._title}: uncache_where({', '.join(some)}) needs a template in tags= that names just these "
            f"parameters, such as tags=('{self._title}:{wanted}',); there are: {listed(self._templates)}"
        )

    def _text(self, name: str, value: Any) -> str:
        text = plain_text(value)
        if text is None:
            raise UnkeyableArgument(
                f"{self._title}: parameter {name!r} cannot be part of a tag, since it is a {type(value).__qualname__}; "
                "tags= names parameters that are text, numbers, dates, UUIDs or None"
            )
        return text


def tag_group(tag: str) -> str:
    """Return the group of the calls with this *tag*."""
    return "tag:" + blake2b(tag.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _fields(title: str, template: object, parameters: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(template, str) or not template:
        raise ConfigurationError(f"{title}: tags= has {template!r}; wanted: templates such as 'tenant:{{tenant_id}}'")
    return named(f"{title}: tags={template!r}", template, parameters)
