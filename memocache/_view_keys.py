"""A view's calls: each is a group, of what is stored for it in whatever request; and so it is forgotten."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from memocache._binding import Binding
from memocache._canonical import encode
from memocache._effects import Effects
from memocache._readthrough import forget, forget_tag
from memocache._views import frameworks, is_made_for_a_request, is_request, may_be_view
from memocache.errors import UnkeyableArgument

if TYPE_CHECKING:
    from memocache._memoizer import Memoizer

__all__ = ["call_key", "group_of", "may_have_views", "plan_forget"]


def call_key(
    memoizer: "Memoizer", binding: Binding, counted: tuple[object, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> str:
    """Return the key of a view's call, whatever the request: of the arguments that count, *counted*.

    A request counts as None, and a view that is made for each request as its class. Where key= is a function, all
    arguments count here that can, since what that returns may come from the request.
    """
    if not memoizer.has_key_function:
        return binding.keys.key(tuple(map(_lasting, counted)))
    bound = memoizer.signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return binding.keys.key(tuple(map(_keyable, map(_lasting, bound.arguments.values()))))


def _keyable(value: object) -> object:
    """Return *value*, or None if it has no stable key: nobody has asked for it to have one."""
    try:
        encode(value)
    except UnkeyableArgument:
        return None
    return value


def _lasting(value: object) -> object:
    """Return what of an argument is the same in each request; also where there are several of them, as in *args."""
    if is_request(value):
        return None
    if type(value) is tuple:
        return tuple(map(_lasting, value))
    if type(value) is dict:
        return {name: _lasting(each) for name, each in value.items()}
    if is_made_for_a_request(value):
        made = type(value)
        return f"{made.__module__}.{made.__qualname__}"
    return value


def group_of(call: str) -> str:
    """Return the group of what is stored for the *call* with this key, in whatever request."""
    return f"call:{call}"


def may_have_views(memoizer: "Memoizer", binding: Binding) -> bool:
    """Return whether something may be stored at *binding* for *memoizer*'s function as a view."""
    if binding.is_direct:
        return binding.views is not None  # whoever stores something there is in this process
    return bool(frameworks) and may_be_view(memoizer) if memoizer.options.view is None else memoizer.options.view


def plan_forget(memoizer: "Memoizer", args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Effects[bool]]:
    """Return what forgets exactly this call, as it is now, and returns whether there was anything."""
    binding = memoizer.bindings.settled or memoizer.bindings.current()
    if may_have_views(memoizer, binding):
        return partial(_forget_view, memoizer, binding, args, kwargs)
    try:
        key = memoizer.known_key(binding, memoizer.bind(*args, **kwargs))
    except UnkeyableArgument:
        if not may_be_view(memoizer):
            raise
        return partial(_forget_view, memoizer, binding, args, kwargs)  # it may have been given a request
    return partial(forget, binding, key)


async def _forget_view(memoizer: "Memoizer", binding: Binding, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    counted = () if memoizer.has_key_function else memoizer.bind(*args, **kwargs)
    group = group_of(call_key(memoizer, binding, counted, args, kwargs))
    size = binding.cache.usage(group, binding.counters).size
    await forget_tag(binding, group)
    # What is in a group elsewhere nobody can count.
    there = bool(size) if size is not None else binding.views is not None
    try:
        key = memoizer.known_key(binding, memoizer.bind(*args, **kwargs))
    except Exception:  # noqa: BLE001 - a key of the request there is none of here, or an argument made for one
        return there
    return await forget(binding, key) or there
