"""Host names: what they stand for, looked up in the background, and one address of each for the whole process.

Looking up a name has no deadline of its own, and the answers of two threads may differ. So a thread asks, whoever needs
the answer waits for as long as there is time, and the last answer is kept: it is asked again while it is in use, and
when the address fails. All connections of the process go to one address, which is changed for all of them at once.
"""

import socket
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from memocache._clock import ticks
from memocache._flight import start_thread
from memocache._fork import in_child
from memocache._living import Living
from memocache._stored_exception import own_copy

Place: TypeAlias = tuple[int, Any]
"""A family of addresses, and the address of a server."""

LOOK_AGAIN: Final = 30.0  # seconds after which a name in use is looked up again
LEAST: Final = 1.0  # seconds between two look-ups of a name whose address fails


class User(Protocol):
    """A server whose connections go to where a name stands for."""

    def drop_connections(self) -> None:
        """Use none of the present connections any more."""


class Host:
    """A host and a port, and the addresses that they stand for; the first is the one in use."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self._places: list[Place] = _literal(name, port)
        self._is_literal = bool(self._places)
        self._users: Living[Any] = Living()
        self.after_fork()

    def after_fork(self) -> None:
        """Wait for no thread of the parent's."""
        self._lock = threading.RLock()  # a signal handler may ask while this thread has it
        self._answered: threading.Event | None = None  # while it is being looked up
        self._looked_at = float("-inf")
        self._problem: OSError | None = None

    def add_user(self, user: User) -> None:
        """Have *user* drop its connections when the address is another one."""
        self._users.add(user)

    def connect(self, connect: Callable[[Place, float], None], left: Callable[[], float]) -> None:
        """Connect to the first address that can be reached; each may take its part of the time that is *left*."""
        problem: OSError | None = None
        places = self._known(left)
        for number, place in enumerate(places):
            try:
                connect(place, left() / (len(places) - number))
            except OSError as error:
                problem = problem or error
            else:
                self._use(place)
                return
        self.look_again(LEAST)
        try:
            raise problem or OSError(f"{self.name} has no address")
        finally:
            del problem  # its traceback leads here

    def _known(self, left: Callable[[], float]) -> list[Place]:
        """Return the addresses, the one in use first; wait for the first look-up of all."""
        self.look_again()
        if not self._places:
            answered = self._answered
            if answered is not None and not answered.wait(left()):
                raise TimeoutError(f"the address of {self.name} is not known yet")
            if not self._places:
                problem = self._problem  # a copy, since what is raised leads to all that its callers have
                raise OSError(f"{self.name} has no address") if problem is None else own_copy(problem)
        return list(self._places)

    def look_again(self, seconds: float = LOOK_AGAIN) -> None:
        """Have the name looked up, if that was not done in the last *seconds*; nobody waits for it."""
        if self._is_literal or ticks() < self._looked_at + (seconds if self._places else 0.0):
            return
        with self._lock:
            if self._answered is not None:
                return
            answered = self._answered = threading.Event()
        try:
            start_thread("memocache names", self._look_up, answered)
        except RuntimeError as error:
            self._problem, self._answered = OSError(str(error)), None
            answered.set()

    def _look_up(self, answered: threading.Event) -> None:
        try:
            found = socket.getaddrinfo(self.name, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            self._problem = error if isinstance(error, OSError) else OSError(str(error))
        else:
            self._learn(list(dict.fromkeys((int(family), place) for family, _, _, _, place in found)))
        finally:
            self._looked_at = ticks()
            self._answered = None
            answered.set()

    def _learn(self, found: list[Place]) -> None:
        """Take what was *found* for the addresses."""
        # Name servers rotate their answers, so that two processes would take two addresses: they take the least. The
        # order of the families is kept, which is that of what works on this host.
        families = list(dict.fromkeys(family for family, _ in found))
        found.sort(key=lambda place: (families.index(place[0]), place[1]))
        with self._lock:
            former = self._places
            if former and former[0] in found:  # it is still one of them
                found.remove(former[0])
                found.insert(0, former[0])
            self._places = found
        if former and found and former[0] != found[0]:
            self._tell_users()

    def _use(self, place: Place) -> None:
        """Let *place*, which can be reached, be the address in use."""
        with self._lock:
            places = self._places
            if not places or places[0] == place or place not in places:
                return
            self._places = [place, *(each for each in places if each != place)]
        self.look_again(LEAST)
        self._tell_users()

    def _tell_users(self) -> None:
        for user in self._users:
            user.drop_connections()


def _literal(name: str, port: int) -> list[Place]:
    """Return the address that *name* is already, if it is one."""
    for family, rest in ((socket.AF_INET, ()), (socket.AF_INET6, (0, 0))):
        try:
            socket.inet_pton(family, name)
        except (OSError, ValueError):
            continue
        return [(family, (name, port, *rest))]
    return []


_hosts: Final[weakref.WeakValueDictionary[tuple[str, int], Host]] = weakref.WeakValueDictionary()


def host_of(name: str, port: int) -> Host:
    """Return the host of this *name* and *port*, the same for all who ask."""
    host = _hosts.get((name, port))
    return _hosts.setdefault((name, port), Host(name, port)) if host is None else host


@in_child
def _after_fork() -> None:
    for host in list(_hosts.values()):
        host.after_fork()
