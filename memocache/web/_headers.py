"""Header fields, read strictly: what cannot be understood is said to be so, since it may have forbidden something.

A field may come in several lines, of any case, folded, and with commas in quoted strings. The grammar is that of
RFC 9110, sections 5.5 and 5.6.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from typing import Final

from memocache._options import TOKEN

__all__ = ["Directives", "cookie_names", "entity_tags", "joined", "moment", "names_in", "without_cookies"]

NAME: Final = re.compile(TOKEN)
# One element of a list, with its quoted strings whole.
ELEMENT: Final = re.compile(r'(?:[^",\\]|"(?:[^"\\]|\\.)*")*')
ENTITY_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')
MOST_SECONDS: Final = 2**31  # RFC 9111, section 1.2.2: what is more counts as this
SPACE: Final = " \t\r\n"


def joined(lines: Iterable[str]) -> str:
    """Return the field in one line."""
    return ", ".join(lines)


def _elements(field: str) -> list[str] | None:
    """Return the elements of a list; None if a quoted string in it has no end."""
    elements, position = [], 0
    while True:
        match = ELEMENT.match(field, position)
        assert match is not None  # it matches nothing, too
        elements.append(match[0].strip(SPACE))
        position = match.end()
        if position == len(field):
            return [element for element in elements if element]
        if field[position] != ",":
            return None
        position += 1


class Directives:
    """What a Cache-Control field says. Names are lower-case; where one is repeated, its smallest number counts."""

    __slots__ = ("_values", "malformed")

    def __init__(self, lines: Sequence[str]) -> None:
        self._values: dict[str, list[str | None]] = {}
        self.malformed = False
        """Whether there is something in it that is no directive."""
        if not lines:
            return
        elements = _elements(joined(lines))
        self.malformed = elements is None
        for element in elements or ():
            name, equals, value = element.partition("=")
            name = name.rstrip(SPACE).lower()
            if not NAME.fullmatch(name):
                self.malformed = True
                continue
            self._values.setdefault(name, []).append(_unquoted(value.strip(SPACE)) if equals else None)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __bool__(self) -> bool:
        return bool(self._values) or self.malformed

    def seconds(self, name: str) -> int | None:
        """Return the smallest number of seconds that *name* is given; 0 if one is no number; None if it is not there.

        "Caches are encouraged to consider responses that have invalid freshness information to be stale": RFC 9111,
        section 4.2.1.
        """
        values = self._values.get(name)
        return None if values is None else min(_seconds(value) for value in values)


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if len(value) > 1 and value[0] == value[-1] == '"' else value


def _seconds(value: str | None) -> int:
    if value is None or not value.isascii() or not value.isdigit():
        return 0
    return MOST_SECONDS if len(value) > 10 else min(int(value), MOST_SECONDS)


def seconds_of(lines: Sequence[str]) -> int:
    """Return the largest number of seconds that the *lines* of a field such as Age say; 0 for what is none."""
    return max((_seconds(part.strip(SPACE)) for line in lines for part in line.split(",")), default=0)


def names_in(lines: Sequence[str]) -> tuple[str, ...] | None:
    """Return the names that a field such as Vary lists, lower-case, sorted; None if something in it is no name."""
    names = {name.strip(SPACE).lower() for line in lines for name in line.split(",")} - {""}
    return tuple(sorted(names)) if all(NAME.fullmatch(name) for name in names) else None


def cookie_names(lines: Sequence[str]) -> set[str]:
    """Return the names of the cookies in a request; what is no pair counts as a cookie named by all of it."""
    return {name for name, _ in _cookies(lines)}


def _cookies(lines: Sequence[str]) -> list[tuple[str, str]]:
    # Some join two lines with a comma, as they do those of other fields. Where one might be, each part has a name.
    pairs = [pair.strip(SPACE) for line in lines for pair in re.split("[;,]", line)]
    return [(pair.partition("=")[0].strip(SPACE), pair) for pair in pairs if pair]


def without_cookies(lines: Sequence[str], harmless: Iterable[str]) -> tuple[str, ...]:
    """Return the cookies that are not *harmless*, as they were sent."""
    patterns = tuple(harmless)
    return tuple(pair for name, pair in _cookies(lines) if not is_harmless(name, patterns))


def is_harmless(name: str, patterns: Iterable[str]) -> bool:
    """Return whether the cookie *name* is one of those that *patterns* such as "_ga*" stand for."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def entity_tags(lines: Sequence[str]) -> set[str]:
    """Return the opaque tags, in quotes, of a field such as If-None-Match; "*" if that is what it says."""
    field = joined(lines)
    return {"*"} if field.strip(SPACE) == "*" else set(ENTITY_TAG.findall(field))


def moment(lines: Sequence[str]) -> float | None:
    """Return the time that a field such as Expires says; None if there is none, or it is not one time."""
    if len(lines) != 1:
        return None
    try:
        return parsedate_to_datetime(lines[0].strip(SPACE)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def grouped(pairs: Iterable[tuple[str, str]]) -> Mapping[str, list[str]]:
    """Return the lines of each field in *pairs*, by lower-case name."""
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name.lower(), []).append(value)
    return fields
