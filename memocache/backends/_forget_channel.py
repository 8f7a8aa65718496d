"""ForgetChannel: the messages of near tiers in different processes, through a far cache that can send them."""

import contextlib
import os
import weakref
from typing import Final

from memocache.backends._far import ask
from memocache.backends._verbs import Verb
from memocache.backends.base import Cache
from memocache.errors import BackendError

__all__ = ["ForgetChannel"]

KEY: Final = "key"
GROUP: Final = "group"
ALL: Final = "all"


class ForgetChannel:
    """The way by which near tiers tell each other of what was forgotten: it sends through *far*, and clears *near*.

    It is a courtesy: a message may be lost, and near's own timeout is what holds.
    """

    def __init__(self, near: Cache, far: Cache) -> None:
        self._near = near
        self._far = far
        self.reset()

    def reset(self) -> None:
        """Be another sender, that does not receive yet: in the beginning, and in a process that was forked."""
        self._name = os.urandom(8).hex()
        self._is_receiving = not self._far.can_send

    def receive(self) -> None:
        """Receive from now on; not before there is something in near, since it may take a thread."""
        if self._is_receiving:
            return
        self._is_receiving = True
        here = weakref.ref(self)

        def receiver(message: str | None) -> None:
            channel = here()
            if channel is not None:
                channel.handle(message)

        self._far.receive(receiver)

    def handle(self, message: str | None) -> None:
        """Have near forget what another one says was forgotten; all of it, if messages may have been lost."""
        name, what, which = (*("" if message is None else message).split(" ", 2), "", "")[:3]
        if message is None or (name != self._name and what == ALL):
            self._near.clear()
        elif name != self._name and what == KEY:
            self._near.forget(which)
        elif name != self._name and what == GROUP:
            self._near.forget_group(which)

    def send_key(self, key: str) -> Verb[None]:
        """Tell that *key* was forgotten or replaced in far."""
        return self._send(f"{KEY} {key}")

    def send_group(self, group: str) -> Verb[None]:
        """Tell that *group* was forgotten in far."""
        return self._send(f"{GROUP} {group}")

    def send_all(self) -> Verb[None]:
        """Tell that far is empty."""
        return self._send(ALL)

    def _send(self, what: str) -> Verb[None]:
        if self._far.can_send:
            # If it fails, it is forgotten all the same, and elsewhere within near_timeout.
            with contextlib.suppress(BackendError):
                yield ask(self._far.send, f"{self._name} {what}")
