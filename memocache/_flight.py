"""Flight: one computation of a key in this process; its leader computes, its waiters share the result."""

import contextlib
import functools
import gc
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any, Final, Literal, Protocol

from memocache._clock import ticks
from memocache._fork import in_child, notice
from memocache.errors import logger

FlightState = Literal["resolved", "failed", "abandoned"]


class Loop(Protocol):
    """The event loop in which a flight's leader runs, as far as the flight must know it."""

    def is_closed(self) -> bool:
        """Return whether nothing will ever run in it again."""


serving: "Final[dict[int, tuple[int, Loop]]]" = {}
"""The event loops, with their threads, that threads of the pool do something for: they lead what is begun there."""


class Flight:
    """A computation that is under way in this process.

    Its leader ends it with `resolve`, `fail` or `abandon`, once; whatever comes second has no effect. A flight that has
    not ended when its *lease* (seconds) is over is no longer waited for: whoever led it may be gone.

    A leader in a task has a *loop*, and can *cancel*: the last one to leave has the computation cancelled.
    """

    __slots__ = (
        *("__weakref__", "_wake", "began", "cancel", "error", "tags", "key", "lease", "loop", "parent"),
        *("is_left", "state", "thread", "value", "waits_for"),
    )

    def __init__(self, key: str, tags: tuple[str, ...], lease: float) -> None:
        self.key = key
        self.tags = tags
        self.began = ticks()
        self.lease = lease
        self.parent = enclosing.get()
        inner = self
        while (outer := inner.parent) is not None:
            if outer.state is not None:  # a task that it began lives longer, and may begin another one so, for ever
                inner.parent = outer.parent
            elif inner is self:
                inner = outer
            else:
                break
        self.thread = threading.get_ident()  # of the leader
        self.state: FlightState | None = None
        self.waits_for: list[Flight] = []  # by computations inside this one
        self._wake: list[Callable[[], None]] = []
        self.loop: Loop | None = None
        if serving and self.thread in serving:
            self.thread, self.loop = serving[self.thread]
        self.cancel: Callable[[BaseException | None], None] | None = None
        self.value: object = None
        self.error: Exception | None = None
        self.is_left = False
        """True if the call that it computes may be over, so that the caller may change the arguments."""

    @property
    def over(self) -> bool:
        """True if nobody should wait for this flight any more."""
        return self.has_lost_its_leader or ticks() >= self.began + self.lease

    @property
    def has_lost_its_leader(self) -> bool:
        """True if nobody leads it (any more)."""
        return self.state is not None or (self.loop is not None and self.loop.is_closed())

    def lead_in(self, loop: Loop, cancel: Callable[[BaseException | None], None] | None) -> None:
        """Be led by a task of this thread's *loop*; *cancel* cancels it, for the reason that it is given."""
        self.thread = threading.get_ident()
        self.loop, self.cancel = loop, cancel

    def leave_caller(self) -> Callable[[], None]:
        """Have no more to do with the call that came upon it: nothing waits for what is done in the background.

        Return what undoes that, for where it cannot be done there.
        """
        parent, thread = self.parent, self.thread
        self.parent, self.thread, self.is_left = None, 0, True

        def come_back() -> None:
            self.parent, self.thread, self.is_left = parent, thread, False

        return come_back

    def resolve(self, value: object) -> None:
        """End with a *value* for the waiters."""
        self.value = value
        if self.state is None:
            self.state = "resolved"
        self.cancel = None
        if self._wake:
            self._wake_all()

    def fail(self, error: Exception) -> None:
        """End with the *error* of the computation for the waiters."""
        self.error = error
        self._end("failed")

    def abandon(self) -> None:
        """End without a result: a waiter may lead the next flight."""
        self._end("abandoned")

    def _end(self, state: FlightState) -> None:
        if self.state is None:
            self.state = state
        self.cancel = None
        self._wake_all()

    def _wake_all(self) -> None:
        while True:
            try:
                wake = self._wake.pop()
            except IndexError:  # also where the last of them has left just now, or somebody else ends it, too
                return
            wake()

    def subscribe(self, wake: Callable[[], None]) -> bool:
        """Have *wake* called once when the flight ends; False if it has ended already, and *wake* may not be called."""
        # Appended first and looked at second, while the leader does it the other way round: one of the two sees it.
        self._wake.append(wake)
        return self.state is None

    def leave(self, wake: Callable[[], None], why: BaseException | None = None) -> bool:
        """Take *wake* back. The last to leave a computation in a task has it cancelled: then it is true.

        *why* is what made it leave, if it was cancelled itself.
        """
        with contextlib.suppress(ValueError):
            self._wake.remove(wake)
        if self._wake or self.state is not None or self.cancel is None:
            return False
        cancel, self.cancel = self.cancel, None
        cancel(why)
        return True

    def join(self, timeout: float) -> bool:
        """Block this thread until the flight has ended, at most *timeout* seconds; return whether it has."""
        # Each waiter has a lock of its own, so that a waiter that is interrupted keeps nobody else waiting. A lock's
        # timeout runs in real time, also while a test has stopped the clocks.
        gate = threading.Lock()
        gate.acquire()
        wake = gate.release
        try:
            if self.subscribe(wake):
                gate.acquire(timeout=max(0.0, timeout))
        except BaseException:
            self.leave(wake)  # whoever has merely waited too long may as well have the result stored
            raise
        return self.state is not None


enclosing: Final[ContextVar[Flight | None]] = ContextVar("memocache_flight", default=None)
"""The innermost flight that is being led in this thread or task."""

collecting: Final[list[int]] = []
"""The thread in which the garbage collector runs, before Python 3.12.

There it may run in the middle of `ContextVar.set`, anybody's, which is not re-entrant: the interpreter dies where a
destructor sets a variable of the same context. So a call in a destructor does not set ours.
"""


def _note_collection(phase: str, _: object) -> None:
    collecting[:] = [threading.get_ident()] if phase == "start" else []


if sys.version_info < (3, 12):
    gc.callbacks.append(_note_collection)


def leave(flight: Flight) -> None:
    """Be no longer in *flight*, which was led in this thread; nor in any inside it.

    Those had no room on the stack to be left and ended, after a RecursionError.
    """
    inner = innermost = enclosing.get()
    while inner is not None and inner is not flight:
        inner = inner.parent
    if inner is None:
        return  # it was not entered
    while innermost is not None and innermost is not flight:
        innermost.abandon()
        innermost = innermost.parent
    enclosing.set(flight.parent)  # last: where there is no room for the others yet, it is for whoever is above


_graph = threading.RLock()  # re-entrant, since a signal handler or a destructor may wait for a flight, too
_blocked: Final[dict[int, list[Flight]]] = {}
"""The flights that threads wait for. Until then nothing else goes on there, such as the tasks of an event loop."""


class waiting:
    """Context manager: the flights around this call wait for *flight*, and the *thread*, if any; true where they may.

    False means that *flight* waits for one of them, directly or through others (or is one of them, or led in that
    thread), so that waiting would never end.
    """

    def __init__(self, flight: Flight, thread: int = 0) -> None:
        self._flight = flight
        self._thread = thread
        self._around = _chain(enclosing.get())
        self._entered = False

    def __enter__(self) -> bool:
        with _graph:
            if not _reaches(self._flight, self._around, self._thread):
                for flight in self._around:
                    flight.waits_for.append(self._flight)
                if self._thread:
                    _blocked.setdefault(self._thread, []).append(self._flight)
                self._entered = True
        return self._entered

    def __exit__(self, *_: object) -> None:
        if self._entered:
            with _graph:
                for flight in self._around:
                    flight.waits_for.remove(self._flight)
                if self._thread:
                    _blocked[self._thread].remove(self._flight)
                    if not _blocked[self._thread]:
                        del _blocked[self._thread]


def _chain(flight: Flight | None) -> list[Flight]:
    chain = []
    while flight is not None:
        chain.append(flight)
        flight = flight.parent
    return chain


def _reaches(start: Flight, goals: list[Flight], thread: int = 0) -> bool:
    """Return whether one of *goals*, or what *thread* leads, is *start* or what that waits for, perhaps by others."""
    found, todo = {id(start)}, [start]
    targets = {id(goal) for goal in goals}
    while todo:
        flight = todo.pop()
        if flight.state is not None:
            continue  # whoever waited for it is only about to go on
        if id(flight) in targets or flight.thread == thread != 0:
            return True
        for further in (*flight.waits_for, *_blocked.get(flight.thread, ())):
            if id(further) not in found:
                found.add(id(further))
                todo.append(further)
    return False


MOST_THREADS: Final = 8
MOST_WAITING: Final = 1_000

# Daemons, made when they are needed: those of concurrent.futures would keep the process from ending until all is done.
_lock = threading.RLock()  # re-entrant, since a signal handler may come here, too
_waiting: Final[deque[Callable[[], object]]] = deque()
_running = 0


def in_background(call: Callable[[], object]) -> bool:
    """Have *call* done soon, in a copy of this context; false if there is too much to do already."""
    global _running
    notice()  # the threads of a parent do not run here
    work = functools.partial(copy_context().run, call)
    with _lock:
        if len(_waiting) >= MOST_WAITING or sys.is_finalizing():  # the threads that there were have ended
            return False
        _waiting.append(work)
        if _running >= MOST_THREADS:
            return True
        _running += 1
    try:
        start_thread("memocache refresh", _work)
    except RuntimeError:
        with _lock:
            _running -= 1
            if not _running:
                _waiting.remove(work)
                return False
    return True


def start_thread(name: str, call: Callable[..., object], *args: Any) -> threading.Thread:
    """Start a daemon thread; RuntimeError if there are too many, or the interpreter shuts down."""
    if sys.is_finalizing():  # a destructor at the very end: Python 3.11 would wait for the thread for ever
        raise RuntimeError("the interpreter shuts down")
    thread = threading.Thread(target=call, args=args, name=name, daemon=True)
    thread.start()
    return thread


def _work() -> None:
    global _running
    while True:
        with _lock:
            if not _waiting:
                _running -= 1
                return
            call = _waiting.popleft()
        try:
            call()
        except BaseException:  # noqa: BLE001 - nobody waits for it
            logger().exception("a refresh in the background failed")
        del call


@in_child
def _after_fork() -> None:
    global _graph, _lock, _running
    _graph, _lock = threading.RLock(), threading.RLock()
    _running = 0
    _waiting.clear()
    _blocked.clear()
    serving.clear()
