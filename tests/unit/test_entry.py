"""Entries, where they come from, and the shortcuts that lead to them; by themselves, without a cache."""

import gc
from typing import Any

import pytest

from memocache._entry import Entry, EntryScope, FastIndex, StaleableEntry

HERE = object()


def entry(origin: EntryScope | None = None) -> Entry:
    return Entry("key", "value", 60.0, scope=EntryScope(("all",)) if origin is None else origin)


def opened() -> FastIndex:
    aliases = FastIndex()
    aliases.lead_to(HERE)
    return aliases


def add(aliases: FastIndex, to: Entry, raw: Any = 1, types: object = (int,), source: object = HERE) -> None:
    aliases.add(source, (aliases, raw, types), to)


def test_what_is_not_said_of_an_aging_entry_is_nothing() -> None:
    aging = StaleableEntry("key", "value", 60.0, 90.0, fresh_until=60.0)
    assert (aging.cost, aging.retry_at, aging.backoff, aging.scope, aging.hits) == (0, 0.0, 0.0, None, 0)


def test_an_alias_leads_to_its_entry_until_that_ends() -> None:
    aliases, one = opened(), entry()
    assert (aliases.source, aliases.table) == (HERE, {})
    add(aliases, one)
    assert aliases.table == {1: one}
    one.end()
    assert aliases.table == {}
    assert one.serve_until == one.expires_at == float("-inf")


def test_a_new_table_leads_nowhere() -> None:
    aliases, one = FastIndex(), entry()
    assert aliases.source is None
    add(aliases, one, source=None)
    assert aliases.table == {1: one}  # it is open, to its source
    add(aliases, entry(), raw=2, source=HERE)
    assert aliases.table == {1: one}


def test_a_table_that_is_closed_takes_nothing_and_opens_again() -> None:
    aliases, one = opened(), entry()
    add(aliases, one)
    aliases.switch(on=False)
    assert aliases.table == {}
    add(aliases, one)
    assert aliases.table == {}
    aliases.switch(on=True)
    add(aliases, one)
    aliases.switch(on=True)
    assert aliases.table == {1: one}


def test_a_table_begins_anew_in_a_child() -> None:
    aliases = opened()
    add(aliases, entry())
    aliases.lock.acquire()  # as somebody else in the parent may have
    held = aliases.lock
    aliases.after_fork()
    assert aliases.table == {}
    assert aliases.lock is not held
    held.release()
    add(aliases, one := entry())
    assert aliases.table == {1: one}


def test_tables_of_functions_that_share_a_namespace_lead_to_one_entry() -> None:
    tables, origin = [opened() for _ in range(3)], EntryScope(("all",))
    one, two = entry(origin), entry(origin)
    for aliases in tables:
        add(aliases, one)
        add(aliases, two, raw=2)
    assert len(origin.indexes) == 3
    assert [aliases.table for aliases in tables] == [{1: one, 2: two}] * 3
    one.end()
    assert [aliases.table for aliases in tables] == [{2: two}] * 3


def test_an_origin_keeps_no_table_alive() -> None:
    first, second, origin = opened(), opened(), EntryScope(("all",))
    one = entry(origin)
    add(first, one)
    add(second, one)
    assert [index() for index in origin.indexes] == [first, second]
    del first
    gc.collect()
    assert [index() for index in origin.indexes] == [None, second]
    third = opened()
    add(third, one)
    assert [index() for index in origin.indexes] == [second, third]
    one.end()
    assert second.table == third.table == {}


def test_an_entry_has_one_spelling_in_all_tables() -> None:
    aliases, one = opened(), entry()
    add(aliases, one)
    add(aliases, one, raw=1, types=(bool,))
    add(aliases, one, raw=2)
    add(aliases, one, raw=2, types=(bool,))
    assert aliases.table == {1: one}  # or killing it would leave the others
    one.end()
    assert aliases.table == {}


def test_another_entry_s_shortcut_is_left_alone() -> None:
    aliases, old, new = opened(), entry(), entry()
    add(aliases, old)
    add(aliases, new)
    old.end()
    assert aliases.table == {1: new}


def test_nothing_leads_to_what_a_user_has_set() -> None:
    aliases = opened()
    add(aliases, Entry("key", "value", 60.0))
    assert aliases.table == {}


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
