"""uncaches(): a function that changes something has calls forgotten that would be wrong from then on."""

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from memocache._effects import Effects, awaiting, blocking
from memocache._engine import plan_forget
from memocache._memoizer import as_call
from memocache._readthrough import forget_tag
from memocache._signature import (
    believed_signature,
    generator_kind,
    is_awaited_once,
    open_parameters,
    refuse_coroutine_function,
)
from memocache._tags import fill_template, join_names, read_field, tag_name, template_names, template_shape, text_of
from memocache.errors import ConfigurationError, UncacheFailed, UnkeyableArgument, title_of, with_article

if TYPE_CHECKING:
    from memocache._function import AsyncCachedFunction, CacheMethods

F = TypeVar("F", bound="Callable[..., Any]")

Plan: TypeAlias = Callable[[], Effects[Any]]
"""Makes a coroutine that forgets something."""
Arguments: TypeAlias = Mapping[str, Any]
CallOption: TypeAlias = "tuple[Any, ...] | Mapping[str, Any] | str | Callable[..., Any] | None"
After: TypeAlias = Callable[[Callable[[], None]], object]

WANTED: Final = (
    "wanted: a tuple of arguments, a dict of named ones, the template of a tag, or a function that takes the "
    "arguments of the decorated one and returns a call as tuple or dict, or a list of such"
)


def uncaches(
    function: "CacheMethods[..., Any] | AsyncCachedFunction[..., Any]",
    call: CallOption = None,
    *,
    every: bool = False,
    after: After | None = None,
) -> Callable[[F], F]:
    """Have calls of a cached *function* forgotten, each time the decorated one has returned.

    The decorated function may be a coroutine function or an ordinary one, and so may *function*. If it raises, nothing
    is forgotten. If the cache does not acknowledge the forgetting, the caller is told by UncacheFailed, though what was
    to be changed has been changed.

    >>> prices = {"tea": 3}
    >>> @cached(timeout=300)
    ... def price(name: str) -> int:
    ...     return prices[name]
    >>> @uncaches(price)
    ... def set_price(name: str, new: int) -> None:
    ...     prices[name] = new
    >>> price("tea")
    3
    >>> set_price("tea", 4)
    >>> price("tea")
    4

    Args:
        function: the cached function, or a cached method; or what wraps one, with a `__wrapped__` that leads there.
        call: which call of it: a tuple of arguments or a dict of named ones, in which "{name}" stands for that
            argument of the decorated function, "user-{name}" for text with it, and anything else for itself; the
            template of a tag, "tenant:{tenant_id}", for all calls that have it; or a function that takes the
            arguments of the decorated one and returns a call as tuple or dict, a list of calls, or None for none.
            None: the call whose arguments have the same names as those of the decorated function.
        every: True for every call, as `uncache_all`.
        after: a function that is given what forgets, a function without arguments, to call it later: once a
            transaction has been committed, as Django's `transaction.on_commit` does. What it returns is awaited in a
            coroutine function, if it can be. None: it is forgotten at once.

    Raises:
        ConfigurationError: at decoration, where *call* cannot be one of the function's.
    """
    from memocache._function import CacheMethods  # not before: wrapt takes longer to import than the rest

    given: Any = function
    while not isinstance(given, CacheMethods) and hasattr(given, "__wrapped__"):
        given = given.__wrapped__  # as functools.wraps leaves it, or a task of Celery
    if not isinstance(given, CacheMethods):
        raise ConfigurationError(
            f"uncaches() got {getattr(function, '__qualname__', function)!r}, which is not cached; "
            "wanted: a function that @cached has decorated, as in @uncaches(report)"
        )
    cached: CacheMethods[..., Any] = given
    title = f"uncaches({cached._self_memoizer.title})"
    if after is not None and not callable(after):
        raise ConfigurationError(
            f"{title}: after={after!r} is {with_article(type(after))}; wanted: a function that "
            "is given what forgets, and calls it once the change can be seen, such as transaction.on_commit"
        )
    if every and call is not None:
        raise ConfigurationError(f"{title}: every=True leaves nothing for call= to say")

    def decorate(writer: Any) -> Any:
        if isinstance(writer, classmethod | staticmethod):
            return type(writer)(decorate(writer.__func__))
        return _decorated(writer, ForgetPlanner(cached, writer, call, every=every), after)

    return decorate


def _decorated(writer: Any, planner: "ForgetPlanner", after: After | None) -> Any:
    if inspect.iscoroutinefunction(writer):

        @functools.wraps(writer)
        async def write_in_task(*args: Any, **kwargs: Any) -> Any:
            plan = planner.prepare(args, kwargs)
            result = await writer(*args, **kwargs)
            plans = plan()
            if after is None:
                await _forget_in_task(plans)
            elif isinstance(later := after(functools.partial(_forget, plans)), Awaitable):
                await later
            return result

        return write_in_task

    if after is not None:
        refuse_coroutine_function(f"{planner.title}: after=", after)

    @functools.wraps(writer)
    def write(*args: Any, **kwargs: Any) -> Any:
        plan = planner.prepare(args, kwargs)
        result = writer(*args, **kwargs)
        if is_awaited_once(type(result)):
            result.close()
            raise ConfigurationError(
                f"{planner.title}: {title_of(writer)} returned a coroutine, which has changed nothing yet, so that it "
                "would be forgotten too early; put @uncaches on the coroutine function (async def) itself"
            )
        plans = plan()
        if after is None:
            _forget(plans)
        else:
            after(functools.partial(_forget, plans))
        return result

    return write


def _forget(plans: list[Plan]) -> None:
    blocking(_forget_each(plans))


async def _forget_in_task(plans: list[Plan]) -> None:
    """Do the same in a task; also if that is cancelled, since what they forget has changed."""
    from memocache._pool import in_own_task  # asyncio takes longer to import than all of ours

    await in_own_task(awaiting(_forget_each(plans)))


async def _forget_each(plans: list[Plan]) -> None:
    """Forget all that these forget; the last failure is raised when all were tried."""
    failed = None
    for plan in plans:
        try:
            await plan()
        except UncacheFailed as error:  # the others can be forgotten all the same
            failed = error
    if failed is not None:
        try:
            raise failed
        finally:
            del failed  # its traceback leads here


class ForgetPlanner:
    """Which calls of a cached function are to be forgotten after a call of *writer*."""

    def __init__(self, function: "CacheMethods[..., Any]", writer: Any, call: CallOption, *, every: bool) -> None:
        self._memoizer = function._self_memoizer
        self._first = function._self_bound
        self.title = f"uncaches({self._memoizer.title})"
        _refuse_unfit(self.title, writer)
        if callable(call):
            refuse_coroutine_function(f"{self.title}: call=", call)
        believed = believed_signature(writer)
        self._writer = believed.signature
        takes = open_parameters(believed.signature, "_memocache_")[0] if believed.is_open else self._writer.parameters
        self._takes = inspect.Signature(list(takes.values()))
        self._prepare = self._preparer(call, every=every)

    def prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], list[Plan]]:
        """Look at the arguments before the writer, which may change them; return what says afterwards what to forget.

        A function given as call= is called afterwards, since it may need what the writer has written.
        """
        given = self._takes.bind(*args, **kwargs).arguments
        known = {name: value for name, value in given.items() if name in self._writer.parameters}
        bound = inspect.BoundArguments(self._writer, known)
        bound.apply_defaults()
        return self._prepare(bound)

    # ---- what call= says, made a function of the writer's arguments ----------------------------------------------

    def _preparer(
        self, call: CallOption, *, every: bool
    ) -> Callable[[inspect.BoundArguments], Callable[[], list[Plan]]]:
        if every:
            return lambda bound: self._every
        if isinstance(call, str):
            return _now(self._by_tag(call))
        if call is None or isinstance(call, tuple | dict):
            return _now(self._by_template(self._same_names() if call is None else call))
        if not callable(call):
            raise ConfigurationError(f"{self.title}: call={call!r} is {with_article(type(call))}; {WANTED}")
        return lambda bound: lambda: [self._one(each) for each in _listed(call(*bound.args, **bound.kwargs))]

    def _every(self) -> list[Plan]:
        binding = self._memoizer.binding()
        return [functools.partial(forget_tag, binding, binding.keys.all_tag)]

    def _by_tag(self, template: str) -> Callable[[inspect.BoundArguments], list[Plan]]:
        where = f"{self.title}: call={template!r}"
        names = template_names(where, template, self._writer.parameters)
        if not self._memoizer.tags.have_shape(template_shape(template)):
            raise ConfigurationError(
                f"{where} is no tag of {self._memoizer.title}, whose tags= has: {self._memoizer.tags}; "
                f"for one call, {WANTED}"
            )

        def plans(bound: inspect.BoundArguments) -> list[Plan]:
            tag = fill_template(template, _texts(where, names, bound.arguments))
            return [functools.partial(forget_tag, self._memoizer.binding(), tag_name(tag))]

        return plans

    def _by_template(self, call: tuple[Any, ...] | Mapping[str, Any]) -> Callable[[inspect.BoundArguments], list[Plan]]:
        where = f"{self.title}: call={call!r}"
        args, kwargs = as_call(self._first, call)
        try:
            self._memoizer.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ConfigurationError(f"{where} is no call of {self._memoizer.title}: {error}") from None
        first = len(self._first)
        makers = [_maker(where, each, self._writer.parameters) for each in args[first:]]
        named_makers = {name: _maker(where, each, self._writer.parameters) for name, each in kwargs.items()}

        def plans(bound: inspect.BoundArguments) -> list[Plan]:
            arguments = bound.arguments
            made = tuple(make(arguments) for make in makers)
            return [self._one(made, {name: make(arguments) for name, make in named_makers.items()})]

        return plans

    def _one(self, call: object, named: Mapping[str, Any] | None = None) -> Plan:
        args, kwargs = as_call(self._first, call)
        return plan_forget(self._memoizer, args, {**kwargs, **(named or {})})

    def _same_names(self) -> dict[str, str]:
        """Return the call whose arguments are the writer's of the same names."""
        parameters = list(self._memoizer.signature.parameters.values())[len(self._first) :]
        wanted = [each.name for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
        missing = [name for name in wanted if name not in self._writer.parameters]
        if missing or len(wanted) < len(parameters):
            raise ConfigurationError(
                f"{self.title}: the decorated function has no parameter {join_names(missing or ['*'])}, so that it is "
                f"not clear which call is meant; say so with call=, or every=True; {WANTED}"
            )
        return {name: f"{{{name}}}" for name in wanted}


def _now(
    plans: Callable[[inspect.BoundArguments], list[Plan]],
) -> Callable[[inspect.BoundArguments], Callable[[], list[Plan]]]:
    """Return the preparer that makes *plans* at once."""

    def prepare(bound: inspect.BoundArguments) -> Callable[[], list[Plan]]:
        made = plans(bound)
        return lambda: made

    return prepare


def _refuse_unfit(title: str, writer: Any) -> None:
    if not callable(writer) or isinstance(writer, type):
        raise ConfigurationError(
            f"{title} decorates functions and got {with_article(type(writer))}; "
            "write it below @property, above a function"
        )
    if generator_kind(writer):
        raise ConfigurationError(
            f"{title}: {title_of(writer)} is a generator function, which returns before it has done anything; "
            "decorate what goes through its items"
        )


def _listed(calls: Any) -> Iterable[Any]:
    if calls is None:
        return ()
    return (calls,) if isinstance(calls, tuple | dict) or not isinstance(calls, Iterable) else calls


def _maker(where: str, given: Any, parameters: Iterable[str]) -> Callable[[Arguments], Any]:
    """Return what makes one argument of a call, as it is *given* in call=, of the writer's arguments."""
    names = template_names(where, given, parameters) if isinstance(given, str) else ()
    if not names:
        return lambda arguments: given
    if given == f"{{{names[0]}}}":
        return lambda arguments: read_field(where, names[0], arguments)
    return lambda arguments: fill_template(given, _texts(where, names, arguments))


def _texts(where: str, fields: Iterable[str], arguments: Arguments) -> dict[str, str]:
    return {field: _text(where, field, read_field(where, field, arguments)) for field in fields}


def _text(where: str, name: str, value: Any) -> str:
    text = text_of(value)
    if text is None:
        raise UnkeyableArgument(
            f"{where}: parameter {name!r} cannot be part of a text, since it is {with_article(type(value))}; "
            "wanted: text, numbers, dates, UUIDs or None"
        )
    return text
