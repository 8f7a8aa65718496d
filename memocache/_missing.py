"""MISSING: what stands for no value, where None may be one."""

import enum
from typing import Final


class Missing(enum.Enum):
    """The type of MISSING: what `peek` returns where nothing is stored.

    An Enum with one member: so type checkers know that what is not MISSING is a result.
    """

    MISSING = "MISSING"

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce_ex__(self, protocol: object) -> str:  # type: ignore[override]
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing.MISSING
