"""What near tiers in different processes tell each other, through a far cache that can publish."""

import contextlib
import os
import weakref
from typing import Final

from memocache.backends._far import ask
from memocache.backends._verbs import Verb
from memocache.backends.base import Cache
from memocache.errors import BackendError

__all__ = ["Told"]

KEY: Final = "key"
GROUP: Final = "group"
ALL: Final = "all"


class Told:
    """The other near tiers before *far*, as far as they can be told what was forgotten here, and tell it *near*.

    It is a courtesy: a message may be lost, and near's own timeout is what holds.
    """

    def __init__(self, near: Cache, far: Cache) -> None:
        self._near = near
        self._far = far
        self.start_anew()

    def start_anew(self) -> None:
        """Be somebody else, who does not listen yet: in the beginning, and in a process that was forked."""
        self._name = os.urandom(8).hex()
        self._listens = not self._far.can_announce

    def listen(self) -> None:
        """Listen from now on; not before there is something in near, since it may take a thread."""
        if self._listens:
            return
        self._listens = True
        here = weakref.ref(self)

        def heard(message: str | None) -> None:
            told = here()
            if told is not None:
                told.hear(message)

        self._far.listen(heard)

    def hear(self, message: str | None) -> None:
        """Have near forget what another one says was forgotten; all of it, if messages may have been lost."""
        name, what, which = (*("" if message is None else message).split(" ", 2), "", "")[:3]
        if message is None or (name != self._name and what == ALL):
            self._near.clear()
        elif name != self._name and what == KEY:
            self._near.forget(which)
        elif name != self._name and what == GROUP:
            self._near.forget_group(which)

    def key(self, key: str) -> Verb[None]:
        """Tell that *key* was forgotten or replaced in far."""
        return self._tell(f"{KEY} {key}")

    def group(self, group: str) -> Verb[None]:
        """Tell that *group* was forgotten in far."""
        return self._tell(f"{GROUP} {group}")

    def all(self) -> Verb[None]:
        """Tell that far is empty."""
        return self._tell(ALL)

    def _tell(self, what: str) -> Verb[None]:
        if self._far.can_announce:
            # If it fails, it is forgotten all the same, and elsewhere within near_timeout.
            with contextlib.suppress(BackendError):
                yield ask(self._far.announce, f"{self._name} {what}")
