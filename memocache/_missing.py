"""MISSING: what stands for no value, where None may be one."""

from typing import Final

__all__ = ["MISSING", "Missing"]


class Missing:
    """The type of MISSING: what `peek` returns where nothing is stored."""

    _instance: "Missing | None" = None

    def __new__(cls) -> "Missing":
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing()
