"""Groups: which entries of an in-process cache are forgotten together."""

from memocache._entry import Entry

__all__ = ["Groups"]


class Groups:
    """The entries of each group that has any.

    It has no lock: its owner does. A signal handler or a destructor of the user's may use the cache in the middle of
    each of these methods.
    """

    __slots__ = ("_members",)

    def __init__(self) -> None:
        # The inner ones are sets: a dict takes half the room of one. Of entries, not of their keys, whose hashes lie
        # anywhere: an entry takes the memory of one that left before, and so its place here, too.
        self._members: dict[str, dict[Entry, None]] = {}

    def __len__(self) -> int:
        return len(self._members)

    def members(self, group: str) -> tuple[Entry, ...]:
        """Return the entries of *group*."""
        return tuple(self._members.get(group, ()))

    def join(self, entry: Entry, groups: tuple[str, ...]) -> None:
        """Put *entry* into *groups*."""
        for group in groups:
            members: dict[Entry, None] | None = None
            while members is None or self._members.get(group) is not members:  # a handler may just have emptied it
                members = self._members.get(group)
                if members is None:
                    members = self._members[group] = {}
                members[entry] = None

    def part(self, entry: Entry, groups: tuple[str, ...]) -> None:
        """Take *entry* out of *groups*, if it is there."""
        for group in groups:
            members = self._members.get(group)
            if members is not None:
                members.pop(entry, None)
                if not members:
                    self._members.pop(group, None)
