"""The envelope, byte for byte: what anybody who can write to a cache may have put there."""

import random
from math import inf, nan

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memocache._envelope import (
    HEADER,
    LEASE,
    MAGIC,
    START,
    VALUE,
    VERSION,
    Envelope,
    Header,
    context,
    end_of,
    generation_head,
    key_digest,
    pack,
    tags_of,
    unpack,
)
from tests.support.selection import examples

KEY = "app\0v1:report:5f0c"
DIGEST = key_digest(KEY)
HEAD = Header(
    VALUE, 1, bytes(range(16)), 1_700_000_000.25, 1_700_000_300.5, 1_700_000_360.75, 1.5, 1_700_000_330.25, 2.0
)


def block_of(generations: list[tuple[str, bytes]]) -> bytes:
    return b"".join(generation_head(tag) + generation for tag, generation in generations)


BLOCK = block_of([("all:ab", b"\x11" * 16), ("tag:c", b"\x22" * 16)])
PAYLOAD = b"\x00the payload\xff"
PACKED = pack(context(HEAD, DIGEST, BLOCK), PAYLOAD)

# An envelope of format 2, as the first release wrote it. If this test fails, the format has changed: entries that a
# running system has stored would be misread or lost. Give it a new VERSION, and a golden string of its own.
GOLDEN = bytes.fromhex(
    "f16d63"  # magic
    "02"  # version
    "01"  # kind
    "01"  # codec
    "002d"  # the generations' length
    "000102030405060708090a0b0c0d0e0f"  # id
    "41d954fc40100000"  # created
    "41d954fc8b200000"  # fresh
    "41d954fc9a300000"  # expires
    "3ff8000000000000"  # cost
    "41d954fc92900000"  # held
    "4000000000000000"  # pause
    "953e9326252d92d3ba6f1808233eedc3"  # digest of the key
    "a31c6768"  # checksum
    "06616c6c3a6162" + "11" * 16 + "057461673a63" + "22" * 16 + "00746865207061796c6f6164ff"  # payload
)


def test_format_2_is_what_it_was() -> None:
    assert PACKED == GOLDEN


def test_an_envelope_of_format_2_is_read() -> None:
    envelope = unpack(GOLDEN, DIGEST)
    assert envelope == Envelope(*HEAD, BLOCK, PAYLOAD, context(HEAD, DIGEST, BLOCK))


def test_every_flipped_bit_is_noticed() -> None:
    for position in range(len(PACKED) * 8):
        data = bytearray(PACKED)
        data[position // 8] ^= 1 << position % 8
        assert unpack(bytes(data), DIGEST) is None, f"bit {position}"


def test_every_truncation_is_noticed() -> None:
    for end in range(len(PACKED)):
        assert unpack(PACKED[:end], DIGEST) is None, f"the first {end} bytes"
        assert unpack(PACKED[end + 1 :], DIGEST) is None, f"from byte {end + 1}"


def test_every_byte_left_out_or_doubled_is_noticed() -> None:
    for i in range(len(PACKED)):
        for data in (PACKED[:i] + PACKED[i + 1 :], PACKED[:i] + PACKED[i : i + 1] + PACKED[i:]):
            assert data == PACKED or unpack(data, DIGEST) is None, f"byte {i}"


@pytest.mark.parametrize("more", [b"\0", b"\r\n", b"x" * 1000, PACKED])
def test_bytes_too_many_are_noticed(more: bytes) -> None:
    assert unpack(PACKED + more, DIGEST) is None


def forged(magic: bytes = MAGIC, version: int = VERSION, block_length: int | None = None, key: str = KEY) -> bytes:
    """Return what somebody writes who knows the format, checksum and all."""
    length = len(BLOCK) if block_length is None else block_length
    kind, codec, id_, *times = HEAD
    return pack(HEADER.pack(magic, version, kind, codec, length, id_, *times, key_digest(key)) + BLOCK, PAYLOAD)


def test_forging_works_at_all() -> None:
    assert forged() == PACKED


@pytest.mark.parametrize("magic", [b"\0\0\0", b"\xf1ms", b"\xf1mC"])
def test_foreign_magic_is_a_miss(magic: bytes) -> None:
    assert unpack(forged(magic=magic), DIGEST) is None


@pytest.mark.parametrize("version", [0, 1, 3, 255])
def test_another_version_is_a_miss(version: int) -> None:
    assert unpack(forged(version=version), DIGEST) is None


@pytest.mark.parametrize("key", ["", "app\0v1:report:5f0d", "ap\0v1:report:5f0c", KEY + " ", KEY.upper()])
def test_the_envelope_of_another_key_is_a_miss(key: str) -> None:
    assert unpack(forged(key=key), DIGEST) is None
    assert unpack(PACKED, key_digest(key)) is None


@pytest.mark.parametrize("length", [len(BLOCK) + len(PAYLOAD) + 1, 0xFFFF])
def test_generations_longer_than_the_envelope_are_a_miss(length: int) -> None:
    assert unpack(forged(block_length=length), DIGEST) is None


def test_junk_is_a_miss() -> None:
    chance = random.Random(0xF1)
    lengths = (0, len(MAGIC), len(MAGIC) + 1, HEADER.size, START, START + len(BLOCK))
    for _ in range(50_000):
        data = PACKED[: chance.choice(lengths)] + chance.randbytes(chance.randrange(150))
        assert unpack(data, DIGEST) is None


# However busy the machine is.
THOROUGH = settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
times = st.floats(allow_nan=False)


@THOROUGH
@given(
    st.builds(
        Header, st.sampled_from([VALUE, LEASE, 255]), st.integers(0, 255), st.binary(min_size=16, max_size=16),
        times, times, times, times, times, times,
    ),
    st.text(),
    st.binary(max_size=200),
    st.binary(max_size=200),
)  # fmt: skip
def test_what_was_packed_is_unpacked(header: Header, key: str, generations: bytes, payload: bytes) -> None:
    bound = context(header, key_digest(key), generations)
    assert unpack(pack(bound, payload), key_digest(key)) == Envelope(*header, generations, payload, bound)


def test_times_may_be_any_float() -> None:
    header = HEAD._replace(created=-inf, fresh_until=inf, expires_at=nan, cost=-0.0, retry_at=-inf, backoff=nan)
    envelope = unpack(pack(context(header, DIGEST, b""), b""), DIGEST)
    assert envelope is not None
    times = (
        *(envelope.created, envelope.fresh_until, envelope.expires_at, envelope.cost),
        *(envelope.retry_at, envelope.backoff),
    )
    assert repr(times) == repr(header[3:])


@pytest.mark.parametrize(("expires", "held", "end"), [(3.0, 0.0, 3.0), (3.0, 5.0, 5.0), (inf, 0.0, inf)])
def test_the_end_of_an_envelope_is_known_without_opening_it(expires: float, held: float, end: float) -> None:
    header = Header(VALUE, 1, b"n" * 16, 1.0, 2.0, expires, 9.0, held, 8.0)
    assert end_of(pack(context(header, key_digest("k"), b"generations"), b"payload")) == end


@pytest.mark.parametrize("data", [b"", b"\xf1mc", b"\xf1ms" + bytes(16), b"x" * 200])
def test_what_is_no_envelope_never_ends(data: bytes) -> None:
    assert end_of(data) == inf


def test_a_key_may_be_any_text() -> None:
    keys = ["", "\0", "a", "a\0", "\ud800", "\udfff", "ü", "u\u0308", "\U0010ffff", "k" * 100_000]
    assert len({key_digest(key) for key in keys}) == len(keys)
    assert {len(key_digest(key)) for key in keys} == {16}


names = st.text(st.characters(max_codepoint=127), max_size=255)
groups = st.lists(st.tuples(names, st.binary(min_size=16, max_size=16)), max_size=4)


@THOROUGH
@given(groups)
def test_a_block_names_its_tags(given: list[tuple[str, bytes]]) -> None:
    assert tags_of(block_of(given)) == [name for name, _ in given]


@THOROUGH
@given(groups, groups)
def test_different_generations_have_different_blocks(
    one: list[tuple[str, bytes]], two: list[tuple[str, bytes]]
) -> None:
    assert (block_of(one) == block_of(two)) == (one == two)


@THOROUGH
@given(st.binary(max_size=60))
def test_no_block_is_too_odd_to_be_looked_at(block: bytes) -> None:
    names = tags_of(block)
    assert all(name.isascii() for name in names)
    if names:  # then a block can be made of them, to compare this one with
        assert len(block_of([(name, b"\0" * 16) for name in names])) > len(names)
