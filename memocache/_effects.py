"""The steps of a read-through, and the driver that takes them in a thread; for the one in tasks, see _tasks.

The read-through is a generator: it yields what has to be done, and is sent what came of it. So it is written once, for
drivers of threads and of tasks alike. It never computes by itself: at `Compute` the driver hands back to the function's
own call, which computes in its own frame and goes on with `Run.computed` or `Run.failed`.
"""

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from memocache._clock import ticks
from memocache._flight import Flight, enclosing, in_background
from memocache.errors import BackendError

__all__ = [
    "Ask",
    "Compute",
    "Computed",
    "Detach",
    "Join",
    "Outcome",
    "Pause",
    "Raised",
    "Instead",
    "Run",
    "Served",
    "Step",
    "Steps",
]


class Ask:
    """Call a method of the cache; the answer is what it returned.

    If it raises BackendError and there is *excuse*, that is told it, and the answer is None. An answer that comes when
    nobody waits for it any more is handed to *unwanted*.
    """

    __slots__ = ("arguments", "call", "excuse", "unwanted")

    def __init__(
        self,
        call: Callable[..., Any],
        arguments: tuple[Any, ...],
        unwanted: Callable[[Any], object] | None = None,
        excuse: Callable[[BackendError], object] | None = None,
    ) -> None:
        self.call = call
        self.arguments = arguments
        self.unwanted = unwanted
        self.excuse = excuse

    def take(self) -> Any:
        try:
            return self.call(*self.arguments)
        except BackendError as error:
            # Told here, and not handed on: its traceback would keep the frames alive, and with them what they lead.
            if self.excuse is None:
                raise
            self.excuse(error)
            return None


class Join:
    """Wait until *flight* has ended, at most *seconds*; the answer is whether it has, None if that can never be."""

    __slots__ = ("flight", "seconds")

    def __init__(self, flight: Flight, seconds: float) -> None:
        self.flight = flight
        self.seconds = seconds

    def take(self) -> bool | None:
        if self.flight.thread == threading.get_ident():
            return None  # a signal handler or a destructor, on top of the leader itself
        return self.flight.join(self.seconds)


class Pause:
    """Wait for *seconds*."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def take(self) -> None:
        time.sleep(self.seconds)


class Detach:
    """Take *steps*, which lead *flight*, in the background; the answer is whether that is going to be done."""

    __slots__ = ("flight", "steps")

    def __init__(self, steps: "Steps", flight: Flight) -> None:
        self.steps = steps
        self.flight = flight


class Compute:
    """Call the function; the answer is a Computed. *flight* is led by it, if any."""

    __slots__ = ("flight",)

    def __init__(self, flight: Flight | None) -> None:
        self.flight = flight


Computed: TypeAlias = tuple[object, BaseException | None, float]
"""What a computation returned, or what it raised; and in how many seconds."""


class Outcome:
    """What is to become of a computed value: what of it is *kept*, for how long (0: it is not), and then *stale*.

    One that is not *shared* is for its own caller only: whoever waits for it computes alone. With an *error* it is that
    of a computation which has failed without raising: what is stored stays there.
    """

    __slots__ = ("error", "kept", "lifetime", "shared", "stale", "value")

    def __init__(
        self, value: Any, kept: Any, lifetime: float, stale: float, *, shared: bool, error: Exception | None = None
    ) -> None:
        self.error = error
        self.value = value
        self.kept = kept
        self.lifetime = lifetime
        self.stale = stale
        self.shared = shared


class Instead:
    """The result of steps that have another *value* for the caller than what the computation returned or raised."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Raised:
    """The result of steps that end with an error for the caller: a generator cannot raise every exception itself."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


Step: TypeAlias = Ask | Join | Pause | Detach | Compute
Steps: TypeAlias = Generator[Step, Any, Any]


class Served:
    """A run that has nothing left to do."""

    __slots__ = ("value",)

    ready = True

    def __init__(self, value: Any) -> None:
        self.value = value


class Run:
    """One run of the steps in this thread, as far as the computation; then `computed` or `failed` goes on.

    *ready* is whether the steps have ended without computing: then *value* is their result. What they detach is done
    with *compute*.
    """

    __slots__ = ("_began", "_compute", "_flight", "_steps", "ready", "value")

    def __init__(self, steps: Steps, compute: Callable[[], Any] | None = None) -> None:
        self._steps = steps
        self._compute = compute
        self.value: Any = None
        self.ready = False
        self._advance(None)

    def _begin(self, flight: Flight | None) -> None:
        self._flight = flight
        if flight is not None:
            enclosing.set(flight)
        self._began = ticks()

    def _advance(self, answer: Any) -> None:
        steps = self._steps
        try:
            step = steps.send(answer)
            while not isinstance(step, Compute):
                try:
                    answer = self._detached(step) if isinstance(step, Detach) else step.take()
                except Exception as error:  # noqa: BLE001 - it is the generator that decides
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as stop:
            result = stop.value
        else:
            self._begin(step.flight)
            return
        if type(result) is Raised:
            raise result.error  # here, where it keeps its own cause and context
        self.value = result
        self.ready = True

    def _detached(self, step: Detach) -> bool:
        if self._compute is None:
            return False
        step.flight.leave_caller()
        return in_background(functools.partial(_alone, step, self._compute))

    def computed(self, value: Any) -> Any:
        """Go on with what the function returned, and return what the caller gets."""
        self._end(value, None)
        return self.value

    def failed(self, error: BaseException) -> bool:
        """Go on with what the function raised; the caller raises it, unless this is true: then there is *value*."""
        return self._end(None, error)

    def _conclude(self, computed: Computed) -> None:
        self._advance(computed)

    def _ended(self) -> float:
        """Leave the flight that was computed in, and return how many seconds that took."""
        cost = ticks() - self._began
        if self._flight is not None:
            enclosing.set(self._flight.parent)
        return cost

    def _end(self, value: Any, error: BaseException | None) -> bool:
        """Go on with what came of the computation; return whether the caller gets something else instead."""
        self._conclude((value, error, self._ended()))
        if type(self.value) is not Instead:
            return False
        self.value = self.value.value
        return True


def _alone(step: Detach, compute: Callable[[], Any]) -> None:
    """Take what was detached, in a thread in which nobody waits for it. What goes wrong is for the steps to tell."""
    enclosing.set(None)
    step.flight.thread = threading.get_ident()
    run = Run(step.steps)
    try:
        value = compute()
    except BaseException as error:  # noqa: BLE001
        run.failed(error)
        return
    with contextlib.suppress(Exception):
        run.computed(value)
