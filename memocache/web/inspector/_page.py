"""Page: the inspector's HTML, with its style and its script in it. All text that comes from elsewhere is escaped."""

import base64
import hashlib
import html
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from typing import Final
from urllib.parse import urlencode

from memocache import Info
from memocache._units import duration, size
from memocache.errors import printable
from memocache.web.inspector._contents import Entries, FunctionFigures, Overview, Row

STYLE: Final = files(__package__).joinpath("style.css").read_text("utf-8")
SCRIPT: Final = files(__package__).joinpath("script.js").read_text("utf-8")
SHARE: Final = (
    "The figures of all processes, and of the last hour, are here when memocache.stats.share(cache) is called in each "
    "process, for a cache that processes share."
)
NOTHING: Final = "\N{EN DASH}"
IN_PROCESS: Final = (
    "These are in the memory of process {}. Each process has entries of its own, and what you forget here is forgotten "
    "in the one that answers."
)
MOST: Final = 200  # functions on the page; a search finds the others


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY: Final = (
    f"default-src 'none'; style-src {_source(STYLE)}; script-src {_source(SCRIPT)}; connect-src 'self'; "
    "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *inside: object, **attributes: object) -> Markup:
    """Return an element of HTML; what is *inside* and in its *attributes* is escaped unless it is Markup.

    An attribute's name may end with an underscore; inside it, one stands for a hyphen. True gives it no value, None and
    False leave it out.
    """
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{_escaped(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in ("input", "link", "meta"):
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{joined(inside)}</{name}>")


def joined(parts: Iterable[object]) -> Markup:
    """Return *parts* as one piece of HTML, with None left out."""
    return Markup("".join(_escaped(part) for part in parts if part is not None))


def _escaped(part: object) -> str:
    return part if isinstance(part, Markup) else html.escape(printable(str(part)))


# ---- figures in words ----------------------------------------------------------------------------------------------


def number(value: float) -> str:
    """Return a *value* that was counted."""
    return f"{value:,.0f}"


def percent(part: float | None) -> str:
    """Return a *part* of all as per cent; 100 only if it is all."""
    if part is None:
        return NOTHING
    return "100 %" if part == 1 else f"{min(part * 100, 99.9):.1f} %"


# ---- the last hour, drawn ------------------------------------------------------------------------------------------

OUTCOMES: Final = ("hits", "stale", "waits", "misses")
"""The outcomes of calls, from the bottom up."""
LEGEND: Final = {"hits": "hit", "stale": "stale", "waits": "waited", "misses": "computed"}


def curve(minutes: Sequence[Sequence[float]], *, height: int, label: str, is_large: bool = False) -> Markup:
    """Return the calls of each of *minutes* as areas, one on the other; with what each minute was, if *is_large*."""
    most = max(map(sum, minutes)) or 1
    last = len(minutes) - 1
    shapes = []
    below = [0.0] * len(minutes)
    for position, outcome in enumerate(OUTCOMES):
        above = [low + minute[position] for low, minute in zip(below, minutes, strict=True)]
        if above != below:
            there = [f"{x * 10},{height - y / most * height:.1f}" for x, y in enumerate(above)]
            back = [f"{x * 10},{height - y / most * height:.1f}" for x, y in reversed([*enumerate(below)])]
            shapes.append(element("path", d=f"M{' '.join(there)} {' '.join(back)}Z", class_=outcome))
        below = above
    for x, minute in enumerate(minutes) if is_large else ():
        ago = "this minute" if x == last else f"{last - x} min ago"
        told = ", ".join(f"{number(n)} {LEGEND[o]}" for n, o in zip(minute, OUTCOMES, strict=True) if n) or "no calls"
        left = max(x * 10 - 5, 0)
        band = element("rect", element("title", f"{ago}: {told}"), x=left, y=0, width=10, height=height, class_="band")
        shapes.append(band)
    return element(
        "svg", *shapes, viewBox=f"0 0 {last * 10} {height}", preserveAspectRatio="none", role="img", aria_label=label
    )


# ---- the page ------------------------------------------------------------------------------------------------------


class Page:
    """A page for somebody who is there: the forms on it carry the *token* of the session."""

    def __init__(self, token: str, *, has_way_out: bool = False) -> None:
        self._token = token
        self._has_way_out = has_way_out

    # ---- for everybody -------------------------------------------------------------------------------------------

    @staticmethod
    def note(text: str, title: str = "Nothing was done") -> str:
        """Return a page that says one thing."""
        return _document(title, element("section", element("h1", title), element("p", text), class_="note"))

    @staticmethod
    def entrance(error: str = "") -> str:
        """Return the page that asks for the secret."""
        form = element(
            "form",
            element("label", "Secret", for_="secret"),
            element(
                "input",
                type="password",
                name="secret",
                id="secret",
                required=True,
                autocomplete="current-password",
                autofocus=True,
                aria_describedby="error" if error else None,
            ),
            element("button", "Enter", type="submit", class_="main"),
            method="post",
            action="?",
        )
        problem = element("p", error, role="alert", id="error", class_="bad") if error else None
        head = element("h1", "What is cached here")
        return _document("Enter", element("section", head, problem, form, class_="note"))

    # ---- what is shown -------------------------------------------------------------------------------------------

    def overview(self, overview: Overview, search: str, notices: Sequence[object]) -> str:
        """Return the page of all functions; *search* is what was searched for."""
        functions = overview.functions
        words = search.lower().split()
        found = [each for each in functions if all(word in each.name.lower() for word in words)]
        slow = sorted((each for each in functions if each.slowest), key=lambda each: -each.slowest)[:5]
        errors = [(f"{each.name}: {what}", number(n)) for each in functions for what, n in each.info.errors.items()]
        return self._document(
            "What is cached",
            overview.about,
            element("h1", "What is cached"),
            *notices,
            _summary(functions),
            _hour(functions) or element("p", SHARE, class_="quiet hour"),
            element(
                "section",
                element("h2", "Functions"),
                _search("Search functions", search),
                element("div", self._functions(found), class_="results"),
            ),
            element(
                "div",
                _list("Slowest computations", [(_named(each.name), duration(each.slowest)) for each in slow]),
                _list("Errors in this process", errors[:20]),
                class_="columns",
            ),
            self._tag_form(),
        )

    def _functions(self, found: Sequence[FunctionFigures]) -> Markup:
        if not found:
            return element("p", "No function is known here by that name.", class_="empty")
        # The head of each column, its class, and its cell for a function; those that no function fills are left out.
        columns: list[tuple[str, str, Callable[[FunctionFigures], object]]] = [
            ("Last hour", "wide spark", lambda each: _spark(each.minutes)),
            ("Calls", "wide", lambda each: number(each.info.calls)),
            ("Hit ratio", "", lambda each: _ratio(each.info.hit_ratio)),
            ("Saved", "saved", lambda each: duration(each.info.seconds_saved)),
            ("Slowest", "wide", lambda each: duration(each.slowest) if each.slowest else None),
            ("Entries", "wide", lambda each: None if each.info.currsize is None else number(each.info.currsize)),
            ("Errors", "wide", lambda each: _failures(each.info.failures)),
        ]
        cells = [[cell(each) for _, _, cell in columns] for each in found[:MOST]]
        filled = [position for position in range(len(columns)) if any(row[position] is not None for row in cells)]
        heads = [element("th", columns[each][0], scope="col", class_=columns[each][1]) for each in filled]
        rows = [
            element(
                "tr",
                element("th", _named(each.name), scope="row"),
                *(element("td", row[at] or NOTHING, class_=columns[at][1]) for at in filled),
            )
            for each, row in zip(found, cells, strict=False)
        ]
        more = f"{number(len(found) - MOST)} more: search for a name." if len(found) > MOST else None
        return joined(
            [
                element(
                    "table",
                    element("caption", "Functions, those with the most calls first", class_="unseen"),
                    element("thead", element("tr", element("th", "Function", scope="col"), *heads)),
                    element("tbody", *rows),
                ),
                element("p", more, class_="empty") if more else None,
            ]
        )

    def function(
        self, figures: FunctionFigures, about: str, search: str, notices: Sequence[object], entries: Entries
    ) -> str:
        """Return the page of one function, with some of its *entries*; *search* is what was searched for."""
        forget = element(
            "details",
            element("summary", "Forget every call"),
            element("p", "Every stored result of this function is forgotten, and computed again when it is asked for."),
            self._form(
                "function", element("button", "Forget all of them", type="submit", class_="bad"), function=figures.name
            ),
        )
        errors = [(what, number(times)) for what, times in figures.info.errors.items()]
        return self._document(
            figures.name,
            about,
            element("nav", element("a", "All functions", href="?"), aria_label="Back", class_="way"),
            element("h1", *_parts(figures.name), class_="code"),
            element("p", figures.cache, class_="code quiet") if figures.cache else None,
            *notices,
            _summary([figures]),
            _hour([figures]),
            element(
                "section",
                element("h2", "Entries"),
                _search("Search keys", search, function=figures.name),
                element("div", self._entries(figures.name, search, entries), class_="results"),
            ),
            _list("Errors in this process", errors) if errors else None,
            element("section", element("h2", "Forget"), forget),
        )

    def _entries(self, name: str, search: str, entries: Entries) -> Markup:
        parts: list[Markup] = [trouble(entries.trouble)] if entries.trouble else []
        if entries.process:
            parts.append(element("p", IN_PROCESS.format(entries.process), class_="quiet"))
        if entries.rows:
            heads = {"Key": None, "Age": None, "Expires in": None, "Computed in": "wide", "Size": "wide"}
            head = [element("th", each, scope="col", class_=kind) for each, kind in heads.items()]
            head.append(element("th", element("span", "Action", class_="unseen"), scope="col"))
            parts.append(
                element(
                    "table",
                    element("caption", "Entries, in no order", class_="unseen"),
                    element("thead", element("tr", *head)),
                    element("tbody", *(self._entry(name, row) for row in entries.rows)),
                )
            )
        elif not entries.trouble:
            parts.append(element("p", "None with this key here." if search else "None is stored here.", class_="empty"))
        if entries.following:
            link = _link(name, **({"q": search} if search else {}), first=entries.following)
            parts.append(element("p", element("a", "More entries", href=link), class_="more"))
        return joined(parts)

    def _entry(self, name: str, row: Row) -> Markup:
        if row.expires_in is None:
            left = "never"
        elif row.expires_in > 0:
            left = duration(row.expires_in)
        else:
            left = f"stale, {duration(row.expires_in + row.stale_for)} more"
        button = element("button", "Forget", type="submit", aria_label=f"Forget {row.key}")
        return element(
            "tr",
            element("th", row.key, scope="row", class_="key"),
            element("td", duration(row.age)),
            element("td", left),
            element("td", duration(row.cost), class_="wide"),
            element("td", NOTHING if row.size is None else size(row.size), class_="wide"),
            element("td", self._form("entry", button, function=name, key=row.handle)),
        )

    # ---- forms ---------------------------------------------------------------------------------------------------

    def _form(self, act: str, *inside: object, **hidden: str) -> Markup:
        given = {"token": self._token, "act": act, **hidden}
        fields = [element("input", type="hidden", name=name, value=value) for name, value in given.items()]
        return element("form", *fields, *inside, method="post", action="?")

    def _tag_form(self) -> Markup:
        form = self._form(
            "tag",
            element("label", "Tag", for_="tag"),
            element("input", name="tag", id="tag", required=True, placeholder="tenant:7", autocomplete="off"),
            element("button", "Forget", type="submit"),
        )
        about = "Every call with this tag is forgotten, of whatever function."
        return element(
            "section", element("h2", "Forget a tag"), element("p", about, class_="quiet"), form, class_="tag"
        )

    def _document(self, title: str, about: str, *inside: object) -> str:
        leave = (
            self._form("leave", element("button", "Leave", type="submit", class_="plain"))
            if self._has_way_out
            else None
        )
        return _document(title, *inside, about=about, leave=leave)


def said(text: str) -> Markup:
    """Return a notice that something was done."""
    return element("p", text, role="status", class_="said")


def trouble(text: str) -> Markup:
    """Return a notice that something could not be had."""
    return element("p", text, role="alert", class_="said bad")


def _document(title: str, *inside: object, about: str = "", leave: Markup | None = None) -> str:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="robots", content="noindex"),
        element("title", f"{title} · memocache"),
        element("link", rel="icon", href="data:,"),
        element("style", Markup(STYLE)),
    )
    top = element(
        "header",
        element("a", "memocache", href="?", class_="brand"),
        element("p", about, class_="quiet") if about else None,
        leave,
    )
    body = element(
        "body",
        element("a", "To the figures", href="#main", class_="skip"),
        top,
        element("main", *inside, id="main", tabindex="-1"),
        element("script", Markup(SCRIPT)),
    )
    return f"<!doctype html>{element('html', head, body, lang='en')}"


def _link(name: str, **more: object) -> str:
    return f"?{urlencode({'function': name, **more}, errors='replace')}"


def _named(name: str) -> Markup:
    """Return the *name* of a function, as a link to its page."""
    return element("a", *_parts(name), href=_link(name))


def _parts(name: str) -> tuple[object, str]:
    module, dot, last = name.rpartition(".")
    return element("span", module + dot, class_="module") if module else None, last


def _search(label: str, search: str, **hidden: str) -> Markup:
    return element(
        "form",
        *(element("input", type="hidden", name=name, value=value) for name, value in hidden.items()),
        element("label", label, for_="q"),
        element("input", type="search", name="q", id="q", value=search, autocomplete="off", spellcheck="false"),
        element("button", "Search", type="submit"),
        role="search",
        action="?",
        class_="search",
    )


def _summary(functions: Sequence[FunctionFigures]) -> Markup:
    infos = [each.info for each in functions]
    calls, misses = sum(info.calls for info in infos), sum(info.misses for info in infos)
    computed = duration(sum(info.seconds_computed for info in infos))
    figures = [
        ("Hit ratio", percent((calls - misses) / calls if calls else None), f"of {number(calls)} calls"),
        ("Time saved", duration(sum(info.seconds_saved for info in infos)), f"computed: {computed}"),
        ("Computations", number(misses), f"{number(sum(info.waits for info in infos))} calls waited for one"),
        ("Errors", number(sum(info.failures for info in infos)), "of caches and refreshes"),
    ]
    cards = [
        element("div", element("dt", name), element("dd", value, element("small", more)))
        for name, value, more in figures
    ]
    return element("dl", *cards, class_="summary")


def _hour(functions: Sequence[FunctionFigures]) -> Markup | None:
    known = [each.minutes for each in functions if each.minutes]
    if not known:
        return None
    minutes = [_outcomes(of_all) for of_all in zip(*known, strict=True)]
    calls, misses = sum(map(sum, minutes)), sum(minute[3] for minute in minutes)
    most = max(map(sum, minutes))
    label = (
        f"Calls a minute in the last hour: {number(calls)} calls, of which {number(misses)} were computed; "
        f"{number(most)} in the busiest minute"
    )
    seen = [outcome for position, outcome in enumerate(OUTCOMES) if any(minute[position] for minute in minutes)]
    keys = [element("li", LEGEND[outcome], class_=outcome) for outcome in seen]
    return element(
        "section",
        element("h2", "The last hour"),
        element("ul", *keys, class_="legend") if keys else None,
        element("p", f"{number(most)} calls a minute", class_="most"),
        curve(minutes, height=140, label=label, is_large=True),
        element("p", element("span", "an hour ago"), element("span", "30 min"), element("span", "now"), class_="axis"),
        class_="hour",
    )


def _outcomes(infos: Iterable[Info]) -> list[int]:
    """Return how many calls there were of each of OUTCOMES."""
    return [sum(numbers) for numbers in zip(*((i.hits, i.stale, i.waits, i.misses) for i in infos), strict=True)]


def _spark(minutes: Sequence[Info]) -> Markup | None:
    calls = sum(info.calls for info in minutes)
    if not calls:
        return None
    return curve([_outcomes([info]) for info in minutes], height=24, label=f"{number(calls)} calls in the last hour")


def _failures(failures: int) -> Markup:
    return element("span", number(failures), class_="bad" if failures else None)


def _ratio(ratio: float | None) -> Markup:
    bar = element(
        "svg",
        element("rect", width=100, height=4, class_="rail"),
        element("rect", width=f"{(ratio or 0) * 100:.1f}", height=4, class_="part"),
        viewBox="0 0 100 4",
        preserveAspectRatio="none",
        aria_hidden="true",
        class_="meter",
    )
    return joined([percent(ratio), bar if ratio is not None else None])


def _list(title: str, rows: Sequence[tuple[object, str]]) -> Markup:
    items = [element("li", element("span", name, class_="code"), element("b", value)) for name, value in rows]
    inside = element("ol", *items) if items else element("p", "None.", class_="empty")
    return element("section", element("h2", title), inside, class_="list")
