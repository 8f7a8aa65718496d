"""The name under which any process finds a class or a function."""

import os
import sys
from typing import Any, Final

from memocache._refusal import NO_FORM, Refusal, with_article
from memocache.errors import UnkeyableArgument

__all__ = ["is_found", "module_name", "name_of", "own_module", "qualified_name"]

MAIN: Final = frozenset({"__main__", "__mp_main__"})  # the second in children that multiprocessing spawns


def qualified_name(thing: Any) -> str:
    """Return the "module.qualname" under which any process finds the class or function *thing*.

    Raises:
        UnkeyableArgument: there is nothing under that name, or something else.
    """
    try:
        return name_of(thing)
    except Refusal as refusal:
        raise UnkeyableArgument(refusal.message()) from None


def module_name(thing: Any) -> str:
    """Return the name of the module of *thing*; for a script that is being run, the name to import it by."""
    name = own_module(thing)
    if name not in MAIN:
        return name
    main = sys.modules.get(name)
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return os.path.splitext(os.path.basename(file))[0] if file else "__main__"


def own_module(thing: Any) -> str:
    """Return the name of the module that *thing* says it is of."""
    name = getattr(thing, "__module__", None)
    return name if type(name) is str else "builtins"


def name_of(thing: Any, *, of_instance: bool = False) -> str:
    """Return what qualified_name() does, or refuse *thing*, or an instance of it if that is asked for."""
    name = thing.__qualname__
    if "<lambda>" in name:
        raise Refusal("a lambda", f"{NO_FORM}: pass a function that is defined in a module")
    sort = "class" if issubclass(type(thing), type) else "function"
    what, whose = (f"{with_article(thing)} instance", "its class") if of_instance else (f"the {sort} {name}", "it")
    if "<locals>" in name:
        raise Refusal(
            what,
            f"{NO_FORM}: {whose} is made inside a function, where no other process can name it; "
            "define it at the top of a module",
        )
    full = f"{module_name(thing)}.{name}"
    if not is_found(thing, name):
        raise Refusal(
            what,
            f"{NO_FORM}: {whose} is not what is found as {full}; define it under that name in its module",
        )
    return full


def is_found(thing: Any, name: str) -> bool:
    """Say whether *thing* is what its module has under *name*."""
    found: Any = sys.modules.get(own_module(thing))
    for part in name.split("."):
        found = getattr(found, part, None)
    # A class method's function is found through the method.
    return found is thing or getattr(found, "__func__", None) is thing
