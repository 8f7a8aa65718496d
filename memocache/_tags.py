"""Tags: names for groups of calls that are forgotten together; and the templates that tags=, key= and uncaches() share.

In a template, parameters and their attributes stand by name: "user:{user_id}", "user:{user.id}". No indices or formats.
A tag may also be what a function of the arguments returns.
"""

import re
import string
import sys
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from inspect import BoundArguments, Parameter, Signature
from typing import Any, Final

from memocache._signature import LEFT_OUT, STARS, is_awaited, signature_of, why_uncallable
from memocache.errors import ConfigurationError, UnkeyableArgument, with_article

# Types whose text says which value it is, in every process and version of Python. By name: not all are always imported.
TEXT_TYPES: Final = frozenset(
    {
        *((each.__module__, each.__qualname__) for each in (str, int, bool, float, type(None))),
        *(("uuid", "UUID"), ("decimal", "Decimal"), ("datetime", "date"), ("datetime", "datetime")),
    }
)


class Tags:
    """The tags of one function: the option tags=, checked against the function's parameters."""

    def __init__(self, title: str, given: object, parameters: Mapping[str, Parameter]) -> None:
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise ConfigurationError(
                f"{title}: tags={given!r}; wanted: a tuple of templates, such as tags=('tenant:{{tenant_id}}',)"
            )
        self._title = title
        self._tags = [
            TagFunction(title, each, parameters) if callable(each) else TagTemplate(title, each, parameters)
            for each in given
        ]
        self.names = tuple(dict.fromkeys(name for tag in self._tags for name in tag.names))
        """The parameters that they are made of."""
        self.may_change = any(tag.may_change for tag in self._tags)
        """True if calls with the same arguments may have other tags, since attributes change."""

    def __bool__(self) -> bool:
        return bool(self._tags)

    def __str__(self) -> str:
        return join_names(tag.title for tag in self._tags)

    def of_call(self, values: tuple[object, ...]) -> tuple[str, ...]:
        """Return the names of the tags of the call whose arguments for `names` are *values*."""
        return tuple(map(tag_name, self.texts(values)))

    def texts(self, values: tuple[object, ...]) -> tuple[str, ...]:
        """Return the tags of that call as a user writes them."""
        arguments = dict(zip(self.names, values, strict=True))
        return tuple(tag.text(arguments) for tag in self._tags)

    def may_give(self, tag: str) -> bool:
        """Return True if there may be calls that have *tag*."""
        return any(isinstance(each, TagFunction) or each.may_give(tag) for each in self._tags)

    def have_shape(self, shape: str) -> bool:
        """Return True if one may be a text of this *shape*, as `template_shape` makes it."""
        return any(isinstance(tag, TagFunction) or template_shape(tag.title) == shape for tag in self._tags)

    def where(self, some: Mapping[str, object]) -> str:
        """Return the name of the tag of the calls with *some* arguments; ConfigurationError if none has these."""
        for tag in self._tags:
            if tag.names and set(tag.names) == some.keys():
                return tag_name(tag.text(some))
        plain = {name: text_of(value) is not None for name, value in some.items()}
        wanted = ":".join(f"{{{name}}}" if plain[name] else f"{{{name}.id}}" for name in some) or "{parameter}"
        raise ConfigurationError(
            f"{self._title}: uncache_where({', '.join(some)}) needs a template in tags= that names just these "
            f"parameters, such as tags=('{self._title}:{wanted}',); there are: {self}"
        )


class TagTemplate:
    """A tag that is written as a template."""

    def __init__(self, title: str, template: Any, parameters: Mapping[str, Parameter]) -> None:
        if not isinstance(template, str) or not template:
            raise ConfigurationError(
                f"{title}: tags= has {template!r}; wanted: templates such as 'tenant:{{tenant_id}}', "
                "or functions of the arguments"
            )
        self._where = f"{title}: tags={template!r}"
        self._function_title = title
        self.title = template
        self._fields = template_names(self._where, template, parameters, "; for more, give a function")
        self.names = tuple(dict.fromkeys(map(parameter_of, self._fields)))
        self.may_change = any("." in field for field in self._fields)

    def may_give(self, tag: str) -> bool:
        """Return True if there may be calls for which it is *tag*."""
        return re.fullmatch(_pattern(self.title), tag, re.DOTALL) is not None

    def text(self, arguments: Mapping[str, Any]) -> str:
        """Return the tag of the call with these *arguments*."""
        texts = {field: self._text(field, read_field(self._where, field, arguments)) for field in self._fields}
        return fill_template(self.title, texts)

    def _text(self, field: str, value: Any) -> str:
        text = text_of(value)
        if text is None:
            what = "parameter" if "." not in field else "attribute"
            raise UnkeyableArgument(
                f"{self._function_title}: {what} {field!r} cannot be part of a tag, since it is "
                f"{with_article(type(value))}; tags= names parameters that are text, numbers, dates, UUIDs or None"
            )
        return text


class TagFunction:
    """A tag that a function returns: of those parameters that it names, or of the call's own arguments.

    It may return any tag, and another one when it is called again.
    """

    may_change = True

    def __init__(self, title: str, function: Callable[..., object], parameters: Mapping[str, Parameter]) -> None:
        self.title = getattr(function, "__name__", type(function).__name__)
        self._where = f"{title}: the function {self.title} in tags="
        self._function = function
        if is_awaited(function):
            raise ConfigurationError(f"{self._where} is a coroutine function; wanted: an ordinary one")
        try:
            own = signature_of(function)
        except (TypeError, ValueError):  # as of some that are written in C
            raise ConfigurationError(
                f"{self._where} does not tell its parameters; wrap it in a lambda that names them"
            ) from None
        needed = [each.name for each in own.parameters.values() if each.default is each.empty]
        is_named = all(name in parameters for name in needed)
        if is_named and not any(each.kind in STARS for each in own.parameters.values()):
            self._signature = own
            self.names = tuple(name for name in own.parameters if name in parameters)
            return
        self._signature = Signature(list(parameters.values()))
        self.names = tuple(parameters)
        if why := why_uncallable(function, parameters.values()):
            raise ConfigurationError(
                f"{self._where} cannot be called: {why}; wanted: one with some of the parameters by their names, "
                f"{join_names(parameters)}, or one that takes the call's arguments"
            )

    def text(self, arguments: Mapping[str, Any]) -> str:
        """Return the tag of the call with these *arguments*."""
        bound = BoundArguments(self._signature, {name: arguments[name] for name in self.names})
        text = self._function(*bound.args, **bound.kwargs)
        if type(text) is not str or not text:
            what = "''" if text == "" else with_article(type(text))
            raise UnkeyableArgument(f"{self._where} returned {what}; wanted: the text of a tag")
        return text


def tag_name(tag: str) -> str:
    """Return the name under which caches know *tag*."""
    return "tag:" + blake2b(tag.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


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
        private = next((word for word in words[1:] if word.startswith("_")), None)
        if private is not None:
            raise ConfigurationError(
                f"{where} has {{{name}}}, and {private!r} is a private attribute; wanted: public ones, "
                f"as in {{user.id}}{more}"
            )
        names.append(name)
    return tuple(names)


def parameter_of(field: str) -> str:
    """Return the name of the parameter of which a *field* is an attribute, or which it is itself."""
    return field.partition(".")[0]


def read_field(where: str, field: str, arguments: Mapping[str, Any]) -> Any:
    """Return the value of a *field* of a template, given the *arguments* by the names of their parameters.

    *where* it stands is noted in the error where there is no such attribute.
    """
    value = arguments.get(parameter_of(field), LEFT_OUT)
    if value is LEFT_OUT:
        raise UnkeyableArgument(f"{where} names {{{field}}}; {LEFT_OUT.why}")
    try:
        for attribute in field.split(".")[1:]:
            value = getattr(value, attribute)
    except AttributeError as error:
        error.add_note(f"{where} names {{{field}}}")
        raise
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


def text_of(value: Any) -> str | None:
    """Return the text of *value*; None if that does not say which value it is."""
    kind = type(value)
    if (kind.__module__, kind.__qualname__) not in TEXT_TYPES:
        return None
    if kind is not type(None) and getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is not kind:
        return None
    return str(value)


def join_names(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"
