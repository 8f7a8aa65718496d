import datetime as dt
import decimal
import textwrap
from decimal import Decimal

from freezegun import freeze_time

from memocache._canonical import encode
from tests.unit.canonical.processes import output_of, run_python
from tests.unit.canonical.samples import (
    NOON,
    Lazily,
    MarkedPoint,
    OpenRecord,
    Pair,
    SlottedToo,
    distinct_from_each_other,
)


def test_a_record_is_all_that_it_holds() -> None:
    plain, more = Pair(1), Pair(1)
    more.extra = 2  # type: ignore[attr-defined]
    named, named_more = MarkedPoint(1, 2), MarkedPoint(1, 2)
    named_more.extra = 2  # type: ignore[attr-defined]
    struct, struct_more = OpenRecord(1), OpenRecord(1)
    struct_more.extra = 2  # type: ignore[attr-defined]
    slotted, slotted_more = SlottedToo(1), SlottedToo(1)
    object.__setattr__(slotted_more, "secret", 2)
    distinct_from_each_other(
        [plain, more, named, named_more, struct, struct_more, slotted, slotted_more, Pair(1, Pair(1))]
    )


def test_what_a_record_has_computed_of_itself_does_not_count() -> None:
    asked = Lazily(1)
    assert asked.double == 2
    assert encode(asked) == encode(Lazily(1))


def test_a_field_that_was_never_set_is_not_none() -> None:
    unset, none = Pair(1), Pair(1)
    del unset.x
    none.x = None
    distinct_from_each_other([unset, none, Pair(1)])


def test_a_decimal_does_not_depend_on_the_context() -> None:
    before = encode(Decimal("1E+5"))
    with decimal.localcontext() as context:
        context.capitals = 0
        context.prec = 1
        assert encode(Decimal("1E+5")) == before


def test_frozen_time_is_time() -> None:
    with freeze_time("2024-06-01 12:00"):
        now, today = dt.datetime.now(), dt.date.today()
        aware = dt.datetime.now(dt.UTC)
        assert (encode(now), encode(today)) == (encode(NOON), encode(NOON.date()))
    assert (encode(now), encode(today)) == (encode(NOON), encode(NOON.date()))
    assert encode(aware) == encode(NOON.replace(tzinfo=dt.UTC))


def test_it_may_be_imported_while_time_is_frozen() -> None:
    code = """
        import datetime, freezegun
        with freezegun.freeze_time("2024-06-01 12:00"):
            from memocache._canonical import encode
            now, today = datetime.datetime.now(), datetime.date.today()
        print(encode(now) == encode(datetime.datetime(2024, 6, 1, 12)))
        print(encode(today) == encode(datetime.date(2024, 6, 1)))
    """
    assert output_of(run_python("-c", textwrap.dedent(code))) == ["True", "True"]
