"""A set of what is there, weakly, can be gone through while others are added to it."""

import gc
import sys
import threading
import weakref

import pytest

from memocache import SimpleCache, subscribe
from memocache._living import Living
from tests.support.race import quick_switches


class Thing:
    pass


def test_some_may_be_added_while_it_is_gone_through() -> None:
    def more(things: weakref.WeakSet[Thing]) -> None:
        for _ in things:
            kept.append(Thing())
            things.add(kept[-1])

    kept = [Thing() for _ in range(10)]
    living, plain = Living(kept), weakref.WeakSet(kept)
    more(living)
    assert len(kept) == len(living) == 20
    if sys.version_info < (3, 14):  # the negative control; from then on, a WeakSet is safe by itself
        with pytest.raises(RuntimeError, match="changed size"):
            more(plain)


def test_what_is_gone_is_not_in_it() -> None:
    kept = [Thing() for _ in range(3)]
    living = Living(kept)
    del kept[:2]
    gc.collect()
    assert list(living) == kept


def test_caches_may_be_made_while_all_of_them_are_gone_through() -> None:
    stop, kept = threading.Event(), list[SimpleCache]()

    def make() -> None:
        while not stop.is_set():
            kept.append(SimpleCache())
            del kept[:-500]

    with quick_switches():
        thread = threading.Thread(target=make)
        thread.start()
        try:
            for _ in range(200):
                subscribe(print, "operation")()
        finally:
            stop.set()
            thread.join()
