"""What looks at functions, copies or wraps them does with a cached one what it does with the function itself."""

import asyncio
import copy
import functools
import gc
import inspect
import os
import pickle
import pydoc
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

from memocache import AsyncCachedFunction, BoundCachedFunction, CachedFunction, MemcachedCache, SimpleCache, cached

METHODS = {name for name in dir(CachedFunction) if not name.startswith("_")}
CHAINS = sys.version_info < (3, 13)
"""Whether Python's own class methods ask what is in them how to bind."""


def plain(x: int, y: int = 0) -> int:
    """Return a sum."""
    return x + y


@cached(timeout=60)
def added(x: int, y: int = 0) -> int:
    """Return a sum."""
    return x + y


@cached
async def awaited(x: int) -> int:
    return x


class Plain:
    def method(self, x: int) -> int:
        """Return x."""
        return x

    @staticmethod
    def static_above(x: int) -> int:
        """Return x."""
        return x

    @staticmethod
    def static_below(x: int) -> int:
        """Return x."""
        return x

    @classmethod
    def class_above(cls, x: int) -> int:
        """Return x."""
        return x

    @classmethod
    def class_below(cls, x: int) -> int:
        """Return x."""
        return x


class Shop:
    @cached
    def method(self, x: int) -> int:
        """Return x."""
        return x

    @cached
    @staticmethod
    def static_above(x: int) -> int:
        """Return x."""
        return x

    @staticmethod
    @cached
    def static_below(x: int) -> int:
        """Return x."""
        return x

    @cached
    @classmethod
    def class_above(cls, x: int) -> int:
        """Return x."""
        return x

    @classmethod
    @cached
    def class_below(cls, x: int) -> int:
        """Return x."""
        return x

    of_three = functools.partialmethod(method, 3)


NAMES = ["method", "static_above", "static_below", "class_below", *(["class_above"] if CHAINS else [])]
"""Those that are seen as what they are."""


# ---- names -----------------------------------------------------------------------------------------------------------


def test_dir_shows_what_the_function_has_and_the_methods() -> None:
    for function in (added, awaited, Shop.method, Shop().method, Shop.class_above, Shop.static_above):
        assert set(dir(function)) >= METHODS
        assert set(dir(function.__wrapped__)) <= set(dir(function))
    added.__wrapped__.unit = "EUR"
    assert "unit" in dir(added)
    assert dict(inspect.getmembers(added))["uncache"] == added.uncache


# ---- kinds of methods ------------------------------------------------------------------------------------------------


def kinds(of: type) -> dict[str, str]:
    return {each.name: each.kind for each in inspect.classify_class_attrs(of) if each.name in NAMES}


def test_a_class_says_of_which_kind_its_methods_are() -> None:
    assert kinds(Shop) == kinds(Plain)


def test_help_shows_them_as_they_are() -> None:
    def shown(of: type) -> str:
        text = pydoc.plain(pydoc.render_doc(of)).replace(of.__name__, "It")
        return "\n".join(line for line in text.splitlines() if "of_three" not in line)

    if CHAINS:
        assert [*filter(str.strip, shown(Shop).split("|"))] == [*filter(str.strip, shown(Plain).split("|"))]
    assert pydoc.plain(pydoc.render_doc(added)).replace("added", "plain") == pydoc.plain(pydoc.render_doc(plain))


@pytest.mark.parametrize("name", NAMES)
def test_sphinx_knows_them(name: str) -> None:
    inspects: Any = pytest.importorskip("sphinx.util.inspect")
    for asks in (inspects.isstaticmethod, inspects.isclassmethod):
        found = [asks(getattr(each, name), cls=each, name=name) for each in (Plain, Shop)]
        assert found[0] == found[1]


def test_beartype_checks_them() -> None:
    beartype: Any = pytest.importorskip("beartype")
    computed: list[object] = []

    @beartype.beartype
    class Checked:
        @cached
        def method(self, x: int) -> int:
            return computed.append(x) or x

        @cached
        @staticmethod
        def static_above(x: int) -> int:
            return computed.append(x) or x

        @staticmethod
        @cached
        def static_below(x: int) -> int:
            return computed.append(x) or x

        if CHAINS:

            @cached
            @classmethod
            def class_above(cls, x: int) -> int:
                return computed.append(x) or x

        @classmethod
        @cached
        def class_below(cls, x: int) -> int:
            return computed.append(x) or x

    it = Checked()
    for name in NAMES:
        computed.clear()
        call = getattr(it, name)
        assert [call(1), call(1), computed] == [1, 1, [1]]
        with pytest.raises(beartype.roar.BeartypeCallHintParamViolation):
            call("1")
        if name != "method":
            assert getattr(Checked, name)(2) == 2

    @cached
    @beartype.beartype
    def f(x: int) -> int:
        return x

    assert (f(1), f.uncache(1)) == (1, True)


# ---- methods of an instance ------------------------------------------------------------------------------------------


def test_a_method_can_be_held_weakly() -> None:
    shop = Shop()
    method = weakref.WeakMethod(shop.method)
    found = method()
    assert type(found) is type(shop.method)
    assert found == shop.method
    assert found.__qualname__ == "Shop.method"
    assert (found(4), found.peek(4), found.uncache(4)) == (4, 4, True)
    assert method == weakref.WeakMethod(shop.method)
    assert weakref.WeakMethod(Shop.class_above)() == Shop.class_above
    del shop, found
    gc.collect()
    assert method() is None


def test_signals_of_django_and_blinker_hold_it_weakly() -> None:
    class Receiver:
        @cached(ignore=("named",))
        def receive(self, sender: object, **named: object) -> str:
            return "received"

    dispatch: Any = pytest.importorskip("django.dispatch")
    receiver, signal = Receiver(), dispatch.Signal()
    signal.connect(receiver.receive)
    assert [answer for _, answer in signal.send("s")] == ["received"]
    assert signal.disconnect(receiver.receive)
    signal.connect(receiver.receive)
    del receiver
    gc.collect()
    assert signal.send("s") == []

    blinker: Any = pytest.importorskip("blinker")
    receiver, signal = Receiver(), blinker.Signal()
    signal.connect(receiver.receive)
    assert [answer for _, answer in signal.send("s")] == ["received"]
    del receiver
    gc.collect()
    assert signal.send("s") == []


def test_a_partial_method_is_one_of_the_cached_method() -> None:
    shop = Shop()
    assert shop.of_three() == 3
    assert isinstance(shop.of_three.func, BoundCachedFunction)
    assert shop.of_three.func.uncache(3) is True


# ---- copies, sources, dispatch, mocks --------------------------------------------------------------------------------


def test_copies_are_the_function_itself() -> None:
    for each in (added, awaited, Shop.static_above):
        assert copy.copy(each) is copy.deepcopy(each) is each
        assert copy.deepcopy({"f": [each]})["f"][0] is each
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(each, protocol)) is each


CALLED = ("uncache", "uncache_all", "peek", "key", "info")


@pytest.mark.parametrize("name", CALLED)
def test_what_a_function_can_do_is_copied_and_pickled_with_it(name: str) -> None:
    for each in (added, awaited, Shop.static_above, Shop.method):
        method = getattr(each, name)
        assert copy.deepcopy([method]) == [method]
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(method, protocol)) == method


def test_the_source_is_the_function_s() -> None:
    assert inspect.getsource(added).startswith("@cached(timeout=60)\ndef added(")
    assert inspect.getsource(Shop.static_above).startswith("    @cached\n    @staticmethod\n")
    assert inspect.getsourcefile(Shop.method) == __file__
    assert inspect.getmodule(added) is sys.modules[__name__]


def test_single_dispatch_goes_over_it_and_under_it() -> None:
    @functools.singledispatch
    def over(x: object) -> str:
        return "object"

    @over.register
    @cached
    def of_int(x: int) -> str:
        return "int"

    assert (over("1"), over(1), of_int.uncache(1)) == ("object", "int", True)

    @cached
    @functools.singledispatch
    def under(x: object) -> str:
        return "object"

    @under.register
    def _(x: int) -> str:
        return "int"

    assert (under("1"), under(1), under.uncache(1), under.uncache("1")) == ("object", "int", True, True)

    class Shown:
        @functools.singledispatchmethod
        def show(self, x: object) -> str:
            return "object"

        @show.register
        @cached
        def _(self, x: int) -> str:
            return "int"

    assert (Shown().show("1"), Shown().show(1)) == ("object", "int")


def test_a_mock_by_its_specification_takes_the_same_calls() -> None:
    mock = create_autospec(added)
    mock.return_value = 7
    assert mock(1, y=2) == 7
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        mock()
    mock.uncache(1)
    mock.uncache.assert_called_once_with(1)
    with pytest.raises(AttributeError):
        mock.invalidate(1)
    shop = create_autospec(Shop, instance=True)
    for name in NAMES if CHAINS else NAMES[:3]:  # without them a class method hides what is in it
        getattr(shop, name)(1)
        getattr(shop, name).uncache(1)
        with pytest.raises(TypeError, match="too many positional arguments"):
            getattr(shop, name)(1, 2, 3)


# ---- by value --------------------------------------------------------------------------------------------------------


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture(params=["cloudpickle", "dill"])
def pickler(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param)


@pytest.fixture
def sent(pickler: Any) -> Callable[[Any], Any]:
    return lambda given: pickler.loads(pickler.dumps(given))


def test_what_can_be_imported_is_sent_by_name(sent: Callable[[Any], Any]) -> None:
    assert sent(added) is added
    assert sent(Shop.static_above) is Shop.static_above
    assert sent(Shop().method).__func__ is Shop.method


def test_a_local_function_stays_cached_with_its_options(sent: Callable[[Any], Any]) -> None:
    factor = 10

    @cached(60, "x:{x}", tags=("t:{x}",), unless=lambda result: result < 0)
    def f(x: int, y: int = 1) -> int:
        return factor * x * y

    there = sent(f)
    assert isinstance(there, CachedFunction)
    assert (there(2), there(2, y=5), there(-1)) == (20, 20, -10)
    assert (there.info().hits, there.info().stored) == (1, 1)
    there.uncache_where(x=2)
    assert there(2, y=5) == 100
    assert (there.__name__, there.__qualname__, inspect.signature(there)) == (
        *(f.__name__, f.__qualname__),
        inspect.signature(f),
    )
    again = sent(there)
    assert (again(3), again.info().misses) == (30, 1)


@pytest.mark.parametrize("name", CALLED)
def test_what_it_can_do_is_sent_with_it(sent: Callable[[Any], Any], name: str) -> None:
    factor = 10

    @cached
    def f(x: int) -> int:
        return factor * x

    there, method = sent((f, getattr(f, name)))
    assert there(2) == 20
    assert method == getattr(there, name)


def test_so_does_a_coroutine_function(sent: Callable[[Any], Any]) -> None:
    @cached
    async def f(x: int) -> int:
        return x

    there = sent(f)
    assert isinstance(there, AsyncCachedFunction)
    assert asyncio.run(there(3)) == 3
    assert asyncio.run(there.uncache(3)) is True


def test_so_does_one_that_calls_itself(sent: Callable[[Any], Any]) -> None:
    @cached
    def fib(n: int) -> int:
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    there = sent(fib)
    assert (there(20), there.info().misses) == (6765, 21)


def test_so_do_the_methods_of_a_local_class() -> None:
    class Local:
        def __init__(self, number: int) -> None:
            self.number = number

        @cached
        def method(self, x: int) -> int:
            return self.number * x

        @cached
        @staticmethod
        def static(x: int) -> int:
            return x

        @cached
        @classmethod
        def of_class(cls, x: int) -> tuple[str, int]:
            return cls.__name__, x

    script = """if True:
        import pickle, sys
        it = pickle.load(sys.stdin.buffer)
        print(it.method(2), it.method.uncache(2), it.static(3), it.static.uncache(3), it.of_class(4))
        print(type(it).of_class.uncache(4), type(it.method).__name__)
    """
    cloudpickle: Any = pytest.importorskip("cloudpickle")
    out = in_another_process(script, cloudpickle.dumps(Local(5)))
    assert out == "10 True 3 True ('Local', 4)\nTrue BoundCachedFunction\n"


def in_another_process(script: str, given: bytes = b"") -> str:
    command = [sys.executable, "-W", "error", "-c", script]
    return subprocess.run(command, input=given, capture_output=True, check=True, env=ENVIRONMENT).stdout.decode()


def sent_by_a_script(script: str, directory: Path) -> bytes:
    """Return what the *script* writes, which is in a file that other processes cannot import."""
    path = directory / "script.py"
    path.write_text(script)
    return subprocess.run([sys.executable, path], capture_output=True, check=True, env=ENVIRONMENT).stdout


@pytest.mark.parametrize("order", ["pickler first", "function first"])
def test_so_does_one_of_a_script_where_nobody_has_the_script(order: str, pickler: Any, tmp_path: Path) -> None:
    function = "from memocache import cached\n@cached(timeout=60)\ndef f(x):\n    return x\n"
    load = f"import {pickler.__name__} as pickler\n"
    parts = [load, function] if order == "pickler first" else [function, load]
    script = "".join(parts) + "import sys; sys.stdout.buffer.write(pickler.dumps(f))\n"
    pickled = sent_by_a_script(script, tmp_path)
    use = load + "import sys\nf = pickler.load(sys.stdin.buffer)\nprint(f(1), f(1), f.info().hits, f.uncache(1))\n"
    assert in_another_process(use, pickled) == "1 1 1 True\n"


def test_both_find_the_same_entries_in_a_shared_cache(pickler: Any, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    script = f"""import sys, {pickler.__name__} as pickler
from memocache import cached
@cached(timeout=60, cache="sqlite:///{tmp_path}/cache.db")
def f(x):
    return x
f(1)
sys.stdout.buffer.write(pickler.dumps(f))
"""
    pickled = sent_by_a_script(script, tmp_path)
    use = f"import sys, {pickler.__name__} as pickler\nf = pickler.load(sys.stdin.buffer)\n"
    assert in_another_process(use + "print(f(1), f.info().hits, f.uncache(1))", pickled) == "1 1 True\n"


def test_a_cache_in_process_is_another_one_there(sent: Callable[[Any], Any]) -> None:
    cache = SimpleCache(threshold=7, default_timeout=8)

    @cached(cache=cache)
    def f(x: int) -> int:
        return x

    there = sent(f)
    there(1)
    assert there.cache is not cache
    assert repr(there.cache) == repr(cache)
    assert len(cache) == 0


def test_the_function_alone_is_sent_where_its_cache_cannot_be(tmp_path: Path) -> None:
    cloudpickle: Any = pytest.importorskip("cloudpickle")

    @cached(cache=MemcachedCache([str(tmp_path / "socket")]), namespace="f")
    def f(x: int) -> int:
        return x

    there = cloudpickle.loads(cloudpickle.dumps(f))
    assert not isinstance(there, CachedFunction)
    assert there(1) == 1
