"""Why a value has no stable form, and where in the argument it is."""

from typing import Final

__all__ = ["NO_FORM", "Refusal", "TooDeep", "with_article"]

STEPS: Final = 8  # of the way to a refused value that its message shows
NO_FORM: Final = "has no stable form"


class Refusal(Exception):
    """Something without a stable form. The way to it is noted while the stack unwinds: no cost before."""

    def __init__(self, what: str, why: str) -> None:
        self.what = what
        self.why = why
        self.way: list[tuple[object, str]] = []
        """The containers around it with the step taken in each, innermost first."""

    def message(self) -> str:
        """Return what is refused, where it is, and why."""
        steps = [step for _, step in reversed(self.way)]
        shown = "".join(steps[:STEPS]) + ("..." if len(steps) > STEPS else "")
        return f"{self.what}, at {shown}, {self.why}" if shown else f"{self.what} {self.why}"


class TooDeep(Refusal):
    """A container at the *deepest* level, or around itself."""

    def __init__(self, value: object, deepest: int) -> None:
        super().__init__(with_article(type(value)), f"is nested more than {deepest} levels deep: pass a flatter value")
        self.way.append((value, ""))

    def message(self) -> str:
        inwards = self.way[::-1]
        for level, (value, _) in enumerate(inwards):
            if any(value is inner for inner, _ in inwards[level + 1 :]):
                self.what, self.why = with_article(type(value)), "contains itself: pass a value without cycles"
                self.way = inwards[:level][::-1]
                break
        return super().message()


def with_article(kind: type) -> str:
    """Return "a list", "an int" and the like."""
    name = kind.__name__
    return f"{'an' if name[:1] in 'aeioAEIO' else 'a'} {name}"
