"""The errors of the package: their messages are one line, and so are those of the log, whatever names stand in them."""

import logging
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from memocache import ConfigurationError, MemocacheError, SimpleCache, UncacheFailed, cached, errors, uncache_tag
from memocache.backends._wire import Breaker

FORGED = "x\nCRITICAL root logged in\r\x1b[2J\x9b31m\u2028\u202e\x00\ud800"
HARMLESS = r"x\nCRITICAL root logged in\r\x1b[2J\x9b31m\u2028\u202e\x00\ud800"
KINDS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, MemocacheError)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_is_one_line_without_characters_that_steer_a_terminal(kind: type[MemocacheError]) -> None:
    error = kind(f"a call raised {FORGED}, and more")
    assert str(error) == f"a call raised {HARMLESS}, and more"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(kind("größer als 東京 \U0001f600")) == "größer als 東京 \U0001f600"
    assert str(kind()) == ""


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    message = str(ConfigurationError(f"a call raised {'A' * 100_000}, which is none; do this"))
    assert len(message) < 1100
    assert message.startswith("a call raised AAAA")
    assert message.endswith("AAAA, which is none; do this")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "TimeoutError"),
        (Mute(), "Mute"),
        (ValueError("a\nb"), r"ValueError: a\nb"),
        (ConfigurationError("do this"), "do this"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_class_of_an_error_that_is_not_ours_is_told(error: Exception, said: str) -> None:
    assert errors.told(error) == said


def test_a_result_is_returned_whatever_says_that_it_cannot_be_copied(caplog: pytest.LogCaptureFixture) -> None:
    class Alone:
        def __deepcopy__(self, memo: object) -> None:
            raise Mute

    assert isinstance(cached(60, copy=True)(lambda: Alone())(), Alone)
    assert "so it was not stored: Mute (said once" in caplog.text


def test_a_tag_is_forgotten_elsewhere_whatever_a_function_of_a_cache_raises() -> None:
    def request() -> SimpleCache:
        raise Mute

    function = cached(60, cache=request, tags=("mute",))(len)
    with pytest.raises(UncacheFailed, match=r"cache= of a function raised Mute$"):
        uncache_tag("mute")
    assert function.__name__ == "len"


def test_what_is_wrong_with_an_option_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match=r"cached\(\) has no option 'colour'"):
        cached(colour="red")  # type: ignore[call-overload]


def _binding_fails() -> None:
    function: Any = cached(60, cache=SimpleCache())(lambda: 1)
    function._self_memoizer.bindings.current().count_failure("a result cannot be stored", ValueError(FORGED))


def _server_fails() -> None:
    Breaker("memcached at 10.0.0.1:11211").failure(FORGED)


@pytest.mark.parametrize("fail", [_binding_fails, _server_fails])
def test_what_is_logged_is_one_line(fail: Callable[[], None], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "memocache"):
        fail()
    (line,) = caplog.messages
    assert HARMLESS in line
    assert line.isprintable()
