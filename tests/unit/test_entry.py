"""Entries, their scopes, and the fast indexes that lead to them; by themselves, without a cache."""

import gc
from collections.abc import Callable
from typing import Any

import pytest

from memocache._entry import Entry, EntryScope, FastIndex, StaleableEntry

HERE = object()


def entry(scope: EntryScope | None = None) -> Entry:
    return Entry("key", "value", 60.0, scope=EntryScope(("all",)) if scope is None else scope)


def opened() -> FastIndex:
    index = FastIndex()
    index.lead_to(HERE)
    return index


def add(index: FastIndex, to: Entry, raw: Any = 1, types: object = (int,), source: object = HERE) -> None:
    index.add(source, (index, raw, types), to)


def test_what_is_not_said_of_an_aging_entry_is_nothing() -> None:
    aging = StaleableEntry("key", "value", 60.0, 90.0, fresh_until=60.0)
    assert (aging.cost, aging.retry_at, aging.backoff, aging.scope, aging.hits) == (0, 0.0, 0.0, None, 0)


def test_a_fast_key_leads_to_its_entry_until_that_ends() -> None:
    index, one = opened(), entry()
    assert (index.source, index.table) == (HERE, {})
    add(index, one)
    assert index.table == {1: one}
    one.end()
    assert index.table == {}
    assert one.serve_until == one.expires_at == float("-inf")


def test_a_new_fast_index_leads_nowhere() -> None:
    index, one = FastIndex(), entry()
    assert index.source is None
    add(index, one, source=None)
    assert index.table == {1: one}  # it is open, to its source
    add(index, entry(), raw=2, source=HERE)
    assert index.table == {1: one}


def test_a_fast_index_that_is_closed_takes_nothing_and_opens_again() -> None:
    index, one = opened(), entry()
    add(index, one)
    index.switch(on=False)
    assert index.table == {}
    add(index, one)
    assert index.table == {}
    index.switch(on=True)
    add(index, one)
    index.switch(on=True)
    assert index.table == {1: one}


@pytest.mark.parametrize(
    "empty",
    [lambda index: index.lead_to(None), lambda index: index.switch(on=False), FastIndex.close],
    ids=["lead_to", "switch", "close"],
)
def test_results_are_let_go_of_outside_the_lock(empty: Callable[[FastIndex], None]) -> None:
    class Result:
        def __del__(self) -> None:
            held.append(index.lock._is_owned())  # type: ignore[attr-defined]

    held: list[bool] = []
    index, scope = opened(), EntryScope(("all",))
    add(index, Entry("key", Result(), 60.0, scope=scope))
    empty(index)
    assert held == [False]


def test_a_fast_index_begins_anew_in_a_child() -> None:
    index = opened()
    add(index, entry())
    index.lock.acquire()  # as somebody else in the parent may have
    held = index.lock
    index.after_fork()
    assert index.table == {}
    assert index.lock is not held
    held.release()
    add(index, one := entry())
    assert index.table == {1: one}


def test_the_fast_indexes_of_functions_that_share_a_namespace_lead_to_one_entry() -> None:
    tables, scope = [opened() for _ in range(3)], EntryScope(("all",))
    one, two = entry(scope), entry(scope)
    for index in tables:
        add(index, one)
        add(index, two, raw=2)
    assert len(scope.indexes) == 3
    assert [index.table for index in tables] == [{1: one, 2: two}] * 3
    one.end()
    assert [index.table for index in tables] == [{2: two}] * 3


def test_a_scope_keeps_no_fast_index_alive() -> None:
    first, second, scope = opened(), opened(), EntryScope(("all",))
    one = entry(scope)
    add(first, one)
    add(second, one)
    assert [index() for index in scope.indexes] == [first, second]
    del first
    gc.collect()
    assert [index() for index in scope.indexes] == [None, second]
    third = opened()
    add(third, one)
    assert [index() for index in scope.indexes] == [second, third]
    one.end()
    assert second.table == third.table == {}


def test_an_entry_has_one_spelling_in_all_fast_indexes() -> None:
    index, one = opened(), entry()
    add(index, one)
    add(index, one, raw=1, types=(bool,))
    add(index, one, raw=2)
    add(index, one, raw=2, types=(bool,))
    assert index.table == {1: one}  # or its end would leave the others
    one.end()
    assert index.table == {}


def test_the_fast_key_of_another_entry_is_left_alone() -> None:
    index, old, new = opened(), entry(), entry()
    add(index, old)
    add(index, new)
    old.end()
    assert index.table == {1: new}


def test_nothing_leads_to_what_a_user_has_set() -> None:
    index = opened()
    add(index, Entry("key", "value", 60.0))
    assert index.table == {}


class EmptiedInBetween(dict[Any, Any]):
    """A table that another thread empties between a look into it and what follows."""

    def get(self, *args: Any) -> Any:
        found = super().get(*args)
        self.clear()
        return found


def test_an_entry_may_end_while_its_table_is_emptied() -> None:
    index, one = opened(), entry()
    add(index, one)
    index.table = EmptiedInBetween(index.table)
    assert index.table.get(1) is one
    with pytest.raises(KeyError):  # the naive way
        del index.table[1]
    index.table = EmptiedInBetween({1: one})
    one.end()
    assert one.serve_until == float("-inf")
