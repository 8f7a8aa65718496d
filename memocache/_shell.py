"""The shell: what the command `memocache` does with the cached functions of an application, and with a cache by URL.

What a user types is read as Python literals, never evaluated.
"""

import ast
import contextlib
import dataclasses
import importlib
import inspect
import json
import math
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NoReturn, cast

from memocache import Cache, Event, cached_functions, subscribe, uncache_tag
from memocache._canonical import found_as
from memocache._clock import ticks
from memocache._doctor import Doctor, calling, result_of
from memocache._hooks import Decorated, adapters
from memocache._memoizer import Memoizer
from memocache._native import hit
from memocache._terminal import EndedBySignal
from memocache._units import duration, size
from memocache.backends._listing import Listing, StoredEntry
from memocache.backends.urls import Url, recipe_for
from memocache.errors import BackendError, MemocacheError, printable, told
from memocache.keys import all_tag
from memocache.stats import OF_A_MINUTE, OF_ALL_TIME, Info, SharedFigures, read, sharing


class ShellError(Exception):
    """A sentence for whoever typed the command: why nothing was done. The process ends with *status*."""

    def __init__(self, message: str, status: int = 2) -> None:
        super().__init__(message)
        self.status = status


class Shell:
    """The commands on the functions of one application, or on one cache.

    Args:
        application: a module that has, or imports, the cached functions; or `module:factory`, which is called.
        url: the URL of a cache; then there are no functions.
        say: prints a line, perhaps in a style; see Terminal.
    """

    def __init__(self, application: str | None, url: str | None, say: Callable[..., object]) -> None:
        self._say = say
        self._url = url
        if application is not None:
            _load(application)
        self._functions: dict[str, Any] = {}
        for each in cached_functions():
            self._functions[_full_name(each)] = _bound_to_class(each)

    def _refuse_none(self) -> None:
        if not self._functions:
            raise ShellError("no cached function was found; name the module that has them: memocache -a shop.app ...")

    # ---- looking -------------------------------------------------------------------------------------------------

    def functions(self) -> None:
        """List the cached functions, each with its cache."""
        self._refuse_none()
        for title, function in sorted(self._functions.items()):
            try:
                self._say(f"{title}{_parameters(function)}  {self._cache_of(function)!r}")
            except ShellError as error:
                self._say(str(error), "trouble")

    def entries(self, name: str | None, limit: int, *, as_json: bool) -> None:
        """List what is stored of the function that goes by *name*, or in the cache of the URL; 0: without a *limit*."""
        listing, titles = self._listing(name, limit or sys.maxsize)
        count = 0
        for count, entry in enumerate(listing, 1):
            function = titles.get(entry.tag, entry.namespace)
            if as_json:
                self._say(json.dumps({"function": function, **_finite(dataclasses.asdict(entry))}))
                continue
            if count == 1:
                self._say(f"{'age':>11}{'expires in':>13}{'size':>10}  key", "head")
            self._say(_row(entry, function))
        if listing.others and as_json:
            self._say(json.dumps({"others": listing.others}))
        elif listing.others:
            self._say(f"and about {listing.others:,} more; --limit 0 lists all", "quiet")
        elif not count:
            raise ShellError("nothing is stored" + (f" for {name}" if name else ""), status=1)

    def _listing(self, name: str | None, limit: int) -> tuple[Listing, dict[str, str]]:
        """Return what is stored, and the names of functions by the tag of their results."""
        if self._url is None:
            function = self._shared_function(name or "")
            memoizer = _memoizer(function)
            return memoizer.listing(limit), {memoizer.binding().keys.all_tag: _full_name(function)}
        cache = self._cache()
        self._refuse_in_process(cache)
        namespaces = self._namespaces(cache)
        wanted = name
        if name and self._titles(name):
            wanted = namespaces.get(self._title(name), name)
        return cache.listing(wanted, limit), self._titles_by_tag(cache)

    def _namespaces(self, cache: Cache) -> dict[str, str]:
        """Return what the functions go by on *cache*, by their names here."""
        namespaces = {}
        for title, function in self._functions.items():
            with contextlib.suppress(MemocacheError):  # a function that has no name on a shared cache
                namespace = _memoizer(function).namespace
                namespaces[title] = namespace.text(shared=cache.shared, one_machine=cache.one_machine)
        return namespaces

    def _titles_by_tag(self, cache: Cache) -> dict[str, str]:
        """Return the names of functions by the tag of all their results on *cache*."""
        return {all_tag(namespace): title for title, namespace in self._namespaces(cache).items()}

    def stats(self, begin_screen: Callable[[], object], *, as_json: bool, every: float | None) -> None:
        """Say what all processes have counted that share their figures; again and again, if *every* so many seconds."""
        cache = self._cache_of_figures()
        while True:
            try:
                found = read(cache)
                if not found:
                    raise ShellError(
                        f"no process shares its figures on {cache!r}; to switch that on, call memocache.stats.share() "
                        "with that cache, once in each process of the application",
                        status=1,
                    )
                if every is not None and not as_json:
                    begin_screen()
                for line, style in ((_as_json(each), "") for each in found) if as_json else _table(found):
                    self._say(line, style)
            except (BackendError, ShellError) as error:
                if every is None:
                    raise
                self._say(str(error), "bad")
            if every is None:
                return
            print(end="", flush=True)  # to a pipe, too
            time.sleep(every)

    def _cache_of_figures(self) -> Cache:
        running = None if self._url is not None else sharing()
        cache = self._cache() if running is None else running.cache
        if not cache.shared:
            raise ShellError(
                f"{cache!r} lives in the memory of each process of the application, where no command can reach its "
                "figures; name a cache on which they are shared: memocache stats URL. To switch that on, call "
                "memocache.stats.share('redis://...') once in each process"
            )
        return cache

    def entry(self, call: str) -> None:
        """Say what is stored for *call*, without its value."""
        function, args, kwargs = self._shared_call(call)
        told = list[Event]()
        with subscribe(told.append, "failed"):
            info = _ask(call, function.entry, *args, **kwargs)
        if info is None:
            raise ShellError(_reason(told) or f"nothing is stored for {call}{_of_views(function)}", status=1)
        self._say(f"key         {info.key}")
        self._say(f"age         {duration(info.age)}")
        self._say(f"expires in  {'never' if info.expires_in is None else duration(info.expires_in)}")
        if info.stale_for:
            self._say(f"then stale  {duration(info.stale_for)}")
        self._say(f"computed    in {duration(info.cost)}")
        if info.size is not None:
            self._say(f"size        {size(info.size)}")
        if info.tags:
            self._say(f"tags        {', '.join(info.tags)}")

    # ---- forgetting ----------------------------------------------------------------------------------------------

    def uncache(self, call: str) -> None:
        """Forget one call."""
        function, args, kwargs = self._shared_call(call)
        existed = _ask(call, function.uncache, *args, **kwargs)
        if existed or _is_view(function) is not False:  # whose pages are forgotten by a tag, which does not tell of any
            self._say(f"forgotten: {call}")
        else:
            self._say(f"nothing was stored for {call}; it is forgotten all the same")

    def uncache_all(self, name: str) -> None:
        """Forget every call of a function."""
        function = self._shared_function(name)
        _ask(name, function.uncache_all)
        self._say(f"forgotten: every call of {_full_name(function)}")

    def uncache_tag(self, tag: str) -> None:
        """Forget every call that has *tag*, on the cache of the URL, or on those of all functions."""
        if self._url is not None:
            uncache_tag(tag, self._cache())
        else:
            functions = [each for each in self._functions.values() if _memoizer(each).tags.may_give(tag)]
            for function in functions:
                self._refuse_in_process(self._cache_of(function))
            if not functions:
                self._refuse_unknown_tag(tag)
            _ask(tag, uncache_tag, tag)
        self._say(f"forgotten: every call with the tag {tag}")

    def _refuse_unknown_tag(self, tag: str) -> None:
        """Raise ShellError for a *tag* that no function may give; calls in other processes may have it, if they can."""
        self._refuse_none()
        if self._cache().shared:
            self._say(f"no cached function here gives the tag {tag}; others on {self._cache()!r} may")
            return
        there = sorted({str(tags) for each in self._functions.values() if (tags := _memoizer(each).tags)})
        raise ShellError(
            f"no cached function gives the tag {tag!r}, so nothing was forgotten; there "
            + (f"are: {', '.join(there)}" if there else "is none with tags=")
        )

    def refresh(self, call: str) -> None:
        """Compute one call now, and store the result."""
        function, args, kwargs = self._shared_call(call)
        if _is_view(function):
            raise ShellError(
                f"{call} is a call of a view, whose pages are computed for requests; forget it with uncache, and the "
                "next request computes it"
            )
        name, told = _memoizer(function).namespace.name, list[Event]()
        began = ticks()
        with subscribe(told.append, "stored", "failed"):
            _ask(call, function.refresh, *args, **kwargs)
        seconds = ticks() - began
        if not any(event.kind == "stored" and event.function == name for event in told):
            why = f": {reason}" if (reason := _reason(told)) else _of_views(function)
            raise ShellError(f"{call} was computed in {duration(seconds)}, but not stored{why}", status=1)
        self._say(f"computed and stored in {duration(seconds)}: {call}")

    def clear(self, confirm: Callable[[str], bool]) -> None:
        """Delete everything in the cache, whoever put it there, if it is confirmed."""
        cache = self._cache()
        if self._url is None and not cache.shared:  # then those of the functions are meant
            shared = {id(each): each for each in self._caches_in_use() if each.shared}
            if len(shared) > 1:
                raise ShellError(
                    f"the application uses {' and '.join(map(repr, shared.values()))}; name one by its URL"
                )
            cache = next(iter(shared.values()), cache)
        self._refuse_in_process(cache)
        others = "whoever put it there"
        if not (cache.far.clear_heeds_prefix and getattr(cache.far, "_prefix", None)):
            others += ", also under another key_prefix"
        if not confirm(f"Delete everything in {cache!r}, {others}?"):
            raise ShellError("nothing was deleted", status=1)
        with calling(cache) as call:
            call(cache.clear)
        self._say(f"deleted: everything in {cache!r}")

    # ---- the doctor ----------------------------------------------------------------------------------------------

    def doctor(self) -> None:
        """Look at what is in use, and say what is wrong and what to do; ShellError if something is."""
        if hit is None:
            self._say("hits        in Python: no compiler was there at installation, or MEMOCACHE_PURE is set")
        else:
            self._say("hits        in C")
        count = 0
        for trouble in self._troubles():
            self._say(f"! {trouble}", "trouble")
            count += 1
        if count:
            raise ShellError(f"{count} {'thing' if count == 1 else 'things'} to look at", status=1)
        self._say("all is well", "good")

    def _troubles(self) -> Iterator[str]:
        """Examine each cache in use, and return what is wrong, also with those that cannot be had."""
        if self._url is not None or not self._functions:
            yield from self._examine(self._cache())
            return
        caches: dict[int, Cache] = {}
        for function in self._functions.values():
            try:
                cache = self._cache_of(function)
            except ShellError as error:
                yield f"{error}. Configure it where the application is imported"
                continue
            if id(cache) not in caches:
                caches[id(cache)] = cache
                yield from self._examine(cache)

    def _examine(self, cache: Cache) -> list[str]:
        return list(Doctor(self._say, self._titles_by_tag(cache)).examine(cache))

    def _caches_in_use(self) -> Iterator[Cache]:
        if self._url is not None or not self._functions:
            yield self._cache()
        else:
            yield from map(self._cache_of, self._functions.values())

    # ---- the page ------------------------------------------------------------------------------------------------

    def inspect(self, port: int) -> None:
        """Show the page of the inspector to a browser on this machine, until somebody interrupts it."""
        from memocache.web.inspector._local import LocalServer

        caches = list(self._caches_in_use())
        if not any(cache.shared for cache in caches):
            self._refuse_in_process(caches[0])
        try:
            server = LocalServer(None if self._functions and self._url is None else caches[0], port)
        except (OSError, OverflowError) as error:
            raise ShellError(f"nothing can listen at port {port}: {error}") from error
        with server:
            self._say(f"Open {server.url} in a browser: it opens the page once. Ctrl-C ends it.")
            sys.stdout.flush()
            server.serve_forever()

    # ---- functions and caches ------------------------------------------------------------------------------------

    def _cache(self) -> Cache:
        if self._url is None:
            from memocache import default_cache

            return default_cache()
        return cast(Cache, recipe_for(Url(self._url, must_exist=True)).make())

    def _cache_of(self, function: Any) -> Cache:
        try:
            return cast(Cache, function.cache)
        except Exception as error:  # of a function given as cache=, which may need more than there is
            problem = f"the cache of {_full_name(function)} cannot be had: {told(error)}"
            raise ShellError(problem, status=1) from error

    def _refuse_in_process(self, cache: Cache) -> None:
        if not cache.shared:
            if self._functions:
                remedy = "use a cache that processes share, or restart them"
            else:
                remedy = "name another one by its URL, or an application that has one: memocache -a shop.app ..."
            raise ShellError(
                f"{cache!r} lives in the memory of each process of the application, where no command can reach it; "
                f"{remedy}"
            )

    def _shared_function(self, name: str) -> Any:
        """Return the function that goes by *name*, whose cache is shared."""
        function = self._functions[self._title(name)]
        self._refuse_in_process(self._cache_of(function))
        return function

    def _titles(self, name: str) -> list[str]:
        """Return the names of functions that *name* is, or is the end of."""
        return sorted(title for title in self._functions if f".{title}".endswith(f".{name}"))

    def _title(self, name: str) -> str:
        """Return the whole name of the function that goes by *name*."""
        _refuse_url(name)
        found = self._titles(name)
        if len(found) == 1:
            return found[0]
        if found:
            raise ShellError(f"{name!r} may be {' or '.join(found)}; write more of the name")
        self._refuse_none()
        raise ShellError(f"there is no cached function {name!r}; there are: {', '.join(sorted(self._functions))}")

    def _shared_call(self, text: str) -> tuple[Any, list[Any], dict[str, Any]]:
        name, args, kwargs = parse_call(text)
        function = self._shared_function(name)
        try:
            _memoizer(function).signature.bind(*function._self_bound, *args, **kwargs)
        except TypeError as error:
            raise ShellError(f"{text}: {error}") from None
        return function, args, kwargs


def _finite(fields: dict[str, Any]) -> dict[str, Any]:
    """Return *fields* with None in place of what is infinite, for which JSON has no form."""
    return {name: None if each == math.inf else each for name, each in fields.items()}


def _row(entry: StoredEntry, function: str) -> str:
    """Return the line of a list that tells of *entry*."""
    end = "never" if entry.expires_in is None else duration(entry.expires_in)
    key = entry.key if not function or function in entry.key else f"{function}  {entry.key}"
    room = "-" if entry.size is None else size(entry.size)
    return f"{duration(entry.age):>11}{end:>13}{room:>10}  {key}"


RECENT: Final = 10  # minutes over which computations are averaged
COLUMNS: Final = {"calls": 11, "hit ratio": 11, "saved": 13, "computed/min": 14, "slowest": 13, "errors": 9}
"""The columns of the table of figures, and how wide they are."""


def _recent(figures: SharedFigures) -> tuple[Info, ...]:
    """Return the latest minutes, from the first in which the function was called."""
    minutes = figures.minutes[-RECENT:]
    first = next((at for at, minute in enumerate(minutes) if minute.calls), len(minutes) - 1)
    return minutes[first:]


def _computed_a_minute(figures: SharedFigures) -> float:
    minutes = _recent(figures)
    return sum(minute.misses for minute in minutes) / len(minutes)


def _table(found: Sequence[SharedFigures]) -> Iterator[tuple[str, str]]:
    """Return the lines of a table, each with its style: the functions that are called most come first."""
    width = max(len("function"), *(len(printable(each.function)) for each in found))
    yield "function".ljust(width) + "".join(f"{name:>{room}}" for name, room in COLUMNS.items()), "head"
    for each in sorted(found, key=lambda each: -each.totals.calls):
        totals = each.totals
        cells = (
            f"{totals.calls:,}",
            "-" if totals.hit_ratio is None else f"{totals.hit_ratio:.1%}",
            duration(totals.seconds_saved),
            f"{_computed_a_minute(each):.1f}",
            duration(each.slowest),
            f"{totals.failures:,}",
        )
        line = printable(each.function).ljust(width)
        line += "".join(f"{cell:>{room}}" for cell, room in zip(cells, COLUMNS.values(), strict=True))
        yield line, "bad" if any(minute.failures for minute in _recent(each)) else ""


def _as_json(figures: SharedFigures) -> str:
    """Return the figures of a function as one line of JSON; those of its minutes as lists, by name."""
    fields = {
        "function": figures.function,
        "calls": figures.totals.calls,
        "hit_ratio": figures.totals.hit_ratio,
        "computed_a_minute": round(_computed_a_minute(figures), 3),
        "slowest": figures.slowest,
        **{name: getattr(figures.totals, name) for name in OF_ALL_TIME},
        "minutes": {name: [getattr(minute, name) for minute in figures.minutes] for name in OF_A_MINUTE},
    }
    return json.dumps(fields)


def _memoizer(function: Any) -> Memoizer:
    return cast(Memoizer, function._self_memoizer)


def _bound_to_class(function: Any) -> Any:
    """Return *function* as its class has it, if it is a class method: nobody can write the class as an argument."""
    with contextlib.suppress(Exception):  # a builtin has no module, and what is found may be anything
        found = found_as(function.__module__, function.__qualname__)
        if issubclass(type(found), Decorated) and isinstance(found.__self__, type):
            return found
        if found.__func__ is function:  # from Python 3.13 on, a classmethod above does not ask it
            return function.__get__(found.__self__)
    return function


def _is_view(function: Any) -> bool | None:
    """Return True if *function* is a view, False if it is none; None if nobody can tell."""
    return adapters.is_view(_memoizer(function))


def _of_views(function: Any) -> str:
    """Return why nothing may be found of a call of *function*; empty if it is no view."""
    return "" if _is_view(function) is False else "; if it is a view, its pages have keys made from requests"


def _parameters(function: Any) -> inspect.Signature:
    """Return the signature of *function* without types, which may be long."""
    signature, none = inspect.signature(function), inspect.Signature.empty
    parameters = [each.replace(annotation=none) for each in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=none)


def _full_name(function: Any) -> str:
    return f"{getattr(function, '__module__', None) or 'builtins'}.{function.__qualname__}"


def parse_call(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Return the name, and the arguments, in the *text* of a call; ShellError unless all of these are literals."""
    _refuse_url(text)
    try:
        with warnings.catch_warnings(action="ignore"):  # of an escape in a text that is none, which stays as it is
            call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call):
            _refuse(text)
        name = ast.unparse(call.func)
        args = [ast.literal_eval(each) for each in call.args]
        kwargs = {each.arg or "": ast.literal_eval(each.value) for each in call.keywords}
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        _refuse(text)
    # Two of one name are for the compiler to refuse, and `**` has none.
    if not all(part.isidentifier() for part in name.split(".")) or "" in kwargs or len(kwargs) < len(call.keywords):
        _refuse(text)
    return name, args, kwargs


def _refuse(text: str) -> NoReturn:
    if all(part.isidentifier() for part in text.split(".")):
        raise ShellError(
            f"{text!r} is a function, and no call of it; write the arguments, too, such as '{text}(7, month=\"May\")'; "
            f"to forget every call: uncache --all {text}"
        )
    raise ShellError(
        f"{text!r} is not a call with literals; write the function and its arguments as in Python, "
        "such as 'report(7, month=\"May\")'"
    )


def _reason(told: Iterable[Event]) -> str:
    """Return what went wrong, by the failures in what was *told*; empty if nothing did, or nobody says what."""
    return next((str(event.error) for event in told if event.error), "")


def _refuse_url(text: str) -> None:
    if os.path.isfile(text):
        raise ShellError(
            f"the file {text!r} stands where a function or a module is wanted; write a module as in an import, "
            f"shop.app, and a cache by its URL, sqlite://{os.path.abspath(text)}"
        )
    if re.match(r"[\w+]+://", text):
        raise ShellError(
            "a URL stands where a function or a module is wanted; ls and uncache --tag take it as --cache URL, and "
            "stats, clear, doctor and inspect as it is"
        )


def _ask(what: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what *method* returns, awaited if need be; ShellError, about *what*, for what a user's code raises."""
    try:
        return result_of(method(*args, **kwargs))
    except (MemocacheError, EndedBySignal):
        raise
    except (Exception, SystemExit) as error:
        raise ShellError(f"{what} raised {told(error)}", status=1) from error


def _load(application: str) -> None:
    """Import what has the cached functions; ShellError if that fails. What it prints is not among the answers."""
    _refuse_url(application)
    name, _, factory = application.partition(":")
    try:
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        with contextlib.redirect_stdout(sys.stderr):
            found: Any = importlib.import_module(name)
            for attribute in filter(None, factory.split(".")):
                found = getattr(found, attribute)
            if factory and (inspect.isfunction(found) or inspect.ismethod(found)):
                result_of(found())
    except EndedBySignal:
        raise
    except (Exception, SystemExit) as error:
        remedy = (
            "; in a Django project: python manage.py memocache ..."
            if type(error).__module__ == "django.core.exceptions"
            else ""
        )
        raise ShellError(f"{application!r} cannot be imported: {type(error).__name__}: {error}{remedy}") from error
