"""PickleSerializer reads what carries the signature of its secret and context, and nothing else."""

import hashlib
import hmac
import pickle
import pickletools
import threading
from typing import Any

import pytest

from memocache.errors import ConfigurationError
from memocache.serializers import PickleSerializer
from tests.unit.serializers.samples import Owner, Point, Report, refusal

SECRET = b"0123456789abcdef"
SERIALIZER = PickleSerializer(secret=SECRET)
UNSIGNED = "the bytes do not carry the signature of this secret and context"


class Custom:
    def __init__(self, content: object) -> None:
        self.content = content

    def __eq__(self, other: object) -> bool:
        return type(other) is Custom and other.content == self.content

    __hash__ = None  # type: ignore[assignment]


class Failing:
    """It can be written, and raises *error* when read."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __setstate__(self, state: dict[str, type[BaseException]]) -> None:
        raise state["error"]("canary-7f3a")


def refused(data: bytes, context: bytes = b"context", serializer: PickleSerializer = SERIALIZER) -> str:
    return refusal(serializer.loads, data, context)


def not_written(value: object) -> str:
    # Which error pickle raises for a function depends on the version of Python.
    return refusal(SERIALIZER.dumps, value, b"").replace("AttributeError", "PicklingError")


@pytest.mark.parametrize("value", [
    None, Custom({1: Custom([])}), Report("r", [Point(1, 2)], Owner("o")), range(3), print, Custom, [1] * 1000,
], ids=lambda value: type(value).__name__)  # fmt: skip
def test_any_value_comes_back(value: object) -> None:
    for context in (b"", b"context", b"\0" * 300):
        assert SERIALIZER.loads(SERIALIZER.dumps(value, context), context) == value


def test_shared_parts_and_cycles_come_back() -> None:
    part: list[Any] = []
    part.append(part)
    back = SERIALIZER.loads(SERIALIZER.dumps([part, part], b""), b"")
    assert isinstance(back, list)
    assert back[0] is back[1] is back[0][0]


def test_every_bit_counts() -> None:
    data = SERIALIZER.dumps({"a": [1, Owner("o")]}, b"context")
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert refused(bytes(flipped)) == UNSIGNED
    for size in range(len(data)):
        assert refused(data[:size]) == UNSIGNED
    assert refused(data + b"\0") == UNSIGNED


def test_bytes_belong_to_one_context() -> None:
    data = SERIALIZER.dumps([1], b"context")
    for other in (b"", b"contex", b"context\0", b"Context", b"another"):
        assert refused(data, other) == UNSIGNED


def test_nothing_moves_between_context_and_content() -> None:
    # Without the length of the context in what is signed, these would have the same signature.
    data = SERIALIZER.dumps([1], b"context")
    signature, payload = data[:32], data[32:]
    for cut in range(7):
        assert refused(signature + b"context"[cut:] + payload, b"context"[:cut]) == UNSIGNED
    for cut in range(1, len(payload)):
        assert refused(signature + payload[cut:], b"context" + payload[:cut]) == UNSIGNED


def test_nothing_is_parsed_before_the_signature_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest
    monkeypatch.setattr(pickle, "loads", lambda data: parsed.append(data))
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or compare(a, b))
    data = SERIALIZER.dumps([1], b"context")
    refused(data[:-1])
    assert (len(compared), parsed) == (1, [])
    SERIALIZER.loads(data, b"context")
    assert (len(compared), parsed) == (2, [data[32:]])


def test_the_format_stays() -> None:
    # HMAC-SHA256 under a derived key, over the context with its length and the pickle of protocol 5.
    data = SERIALIZER.dumps([1], b"context")
    payload = pickle.dumps([1], protocol=5)
    key = hmac.new(SECRET, b"memocache/PickleSerializer/1", hashlib.sha256).digest()
    signed = (7).to_bytes(8, "big") + b"context" + payload
    assert data == hmac.new(key, signed, hashlib.sha256).digest() + payload
    assert data != hmac.new(SECRET, signed, hashlib.sha256).digest() + payload
    assert next(pickletools.genops(data[32:]))[1] == 5


def test_another_secret_is_another_signature() -> None:
    data = SERIALIZER.dumps([1], b"context")
    assert refused(data, serializer=PickleSerializer(secret=SECRET + b"0")) == UNSIGNED
    assert PickleSerializer(secret=SECRET).loads(data, b"context") == [1]
    assert PickleSerializer(secret=SECRET.decode()).loads(data, b"context") == [1]
    assert PickleSerializer("schlüssel" * 2).loads(PickleSerializer("schlüssel".encode() * 2).dumps(1, b""), b"") == 1


def test_secrets_can_be_changed_while_processes_run() -> None:
    old, new, newest = (secret * 16 for secret in (b"1", b"2", "3"))
    context = b"context"
    written = {
        name: PickleSerializer(secrets).dumps(name, context)
        for name, secrets in {"old": old, "new": [new, old], "newest": (newest, new)}.items()
    }
    for name in ("new", "newest"):
        assert PickleSerializer([newest, new]).loads(written[name], context) == name
    assert refused(written["old"], serializer=PickleSerializer([newest, new])) == UNSIGNED
    assert PickleSerializer([new, old]).loads(written["old"], context) == "old"
    assert PickleSerializer(new).loads(written["new"], context) == "new"
    assert refused(written["newest"], serializer=PickleSerializer([new, old])) == UNSIGNED


@pytest.mark.parametrize("secret", [
    b"", b"123456789012345", "", "short", None, 5, bytearray(20), [], ["x" * 20, "short"], [["x" * 20]], {"x" * 20: 1},
])  # fmt: skip
def test_a_secret_that_is_none_is_refused(secret: Any) -> None:
    assert refusal(PickleSerializer, secret=secret, kind=ConfigurationError) == (
        "secret= needs at least 16 bytes, or a list of such, the newest first; "
        "make one with secrets.token_bytes(32) and give the same to all processes"
    )


@pytest.mark.parametrize("error", [ValueError, TypeError, MemoryError, RecursionError, ImportError, AttributeError])
def test_an_error_while_reading_is_a_refusal(error: type[Exception]) -> None:
    data = SERIALIZER.dumps([Failing(error)], b"context")
    assert refused(data) == f"the signed value could not be made, {error.__name__}"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_while_reading_goes_through(error: type[BaseException]) -> None:
    data = SERIALIZER.dumps([Failing(error)], b"context")
    with pytest.raises(error):
        SERIALIZER.loads(data, b"context")


def test_a_type_that_has_gone_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    data = SERIALIZER.dumps(Custom(1), b"context")
    monkeypatch.delattr(f"{__name__}.Custom")
    assert refused(data) == "the signed value could not be made, AttributeError"


class Unsearchable:
    """It hides where in it the culprit is."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__dict__":
            raise LookupError
        return super().__getattribute__(name)

    def __reduce__(self) -> Any:
        return Unsearchable, ()


def make_local() -> Any:
    class Local:
        pass

    return Local()


@pytest.mark.parametrize(("value", "message"), [
    (threading.Lock(), "value is of type _thread.lock, which pickle cannot keep (TypeError); return plain data"),
    ({"a": [1, (2, threading.Lock())]},
     "value['a'][1][1] is of type _thread.lock, which pickle cannot keep (TypeError); return plain data"),
    ([lambda: 1], "value[0] is of type function, which pickle cannot keep (PicklingError); return plain data"),
    ([Custom({5: iter([]), 6: (x for x in ())})],
     "value[0].content.values()[1] is of type generator, which pickle cannot keep (TypeError); return plain data"),
    ({"a": [make_local()]}, f"value['a'][0] is of type {__name__}.make_local.<locals>.Local, which pickle cannot keep"
     " (PicklingError); return plain data"),
    ([Unsearchable(), [threading.Lock()]],
     "value... is of type _thread.lock, which pickle cannot keep (TypeError); return plain data"),
])  # fmt: skip
def test_what_pickle_cannot_keep_is_refused(value: object, message: str) -> None:
    assert not_written(value) == message


def test_a_strange_value_is_refused_all_the_same() -> None:
    class Strange(dict[Any, Any]):
        def __reduce__(self) -> Any:
            raise ZeroDivisionError

        def __getattribute__(self, name: str) -> Any:
            if name == "__dict__":
                raise LookupError
            return super().__getattribute__(name)

        def keys(self) -> Any:
            raise LookupError

    said = not_written([Strange(a=1)])
    assert said.startswith("value[0] is of type ")
    assert said.endswith("Strange, which pickle cannot keep (ZeroDivisionError); return plain data")


def test_no_secret_shows() -> None:
    assert repr(SERIALIZER) == "PickleSerializer(secret=...)"
    assert SECRET.decode() not in repr(vars(SERIALIZER))
