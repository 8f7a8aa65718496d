"""A view's calls: each is a group, of what is stored for it in whatever request; and so it is forgotten."""

from typing import Any

from memocache._binding import Place, Site
from memocache._canonical import encode
from memocache._effects import Steps
from memocache._memoizer import Memo
from memocache._readthrough import forget, forget_group
from memocache._views import is_made_for_a_request, is_request, may_be_view
from memocache.errors import UnkeyableArgument

__all__ = ["call_key", "forgetting", "group_of", "may_have_views"]


def call_key(
    memo: Memo, place: Place, counted: tuple[object, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> str:
    """Return the key of a view's call, whatever the request: of the arguments that count, *counted*.

    A request counts as None, and a view that is made for each request as its class. Where key= is a function, all
    arguments count here that can, since what that returns may come from the request.
    """
    if not memo.has_key_function:
        return place.keys.key(tuple(map(_lasting, counted)))
    bound = memo.signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return place.keys.key(tuple(map(_keyable, map(_lasting, bound.arguments.values()))))


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


def may_have_views(memo: Memo, place: Place) -> bool:
    """Return whether something may be stored at *place* for *memo*'s function as a view."""
    if not place.site.cache.shared:
        return place.views is not None  # whoever stores something there is in this process
    return may_be_view(memo)


def forgetting(memo: Memo, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Site, Steps]:
    """Return the steps that forget exactly this call, and whether there was anything; and the site to take them on."""
    place = memo.place()
    if may_have_views(memo, place):
        return place.site, _forget_view(memo, place, args, kwargs)
    try:
        key = memo.known_key(place, memo.bind(*args, **kwargs))
    except UnkeyableArgument:
        if not may_be_view(memo):
            raise
        return place.site, _forget_view(memo, place, args, kwargs)  # it may have been given a request
    return place.site, forget(place.site, key)


def _forget_view(memo: Memo, place: Place, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Steps:
    site = place.site
    counted = () if memo.has_key_function else memo.bind(*args, **kwargs)
    group = group_of(call_key(memo, place, counted, args, kwargs))
    size = site.cache.usage(group, site.counters).size
    yield from forget_group(site, group)
    # What is in a group elsewhere nobody can count.
    there = bool(size) if size is not None else place.views is not None
    try:
        key = memo.known_key(place, memo.bind(*args, **kwargs))
    except Exception:  # noqa: BLE001 - a key of the request there is none of here, or an argument made for one
        return there
    return (yield from forget(site, key)) or there
