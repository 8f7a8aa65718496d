"""Generated models: a module of classes of every family, which nest each other, and functions that return them.

As a program: `python -m tests.contract.generated FOLDER` calls all of them over a cache there, and prints how each call
went: "stored", "hit" or "refused", and "wrong" for a value that is not what the function returns.
"""

import importlib
import random
import sys
from pathlib import Path
from typing import Any

NUMBER = 200
PLAIN = {
    "int": ("5", "-(2**70)"), "str": ("'text'", "'\\ud800'"), "float": ("1.5", "-0.0"), "bytes": ("b'x'",),
    "bool": ("True",),
    "Decimal": ("Decimal('1.50')",), "date": ("date(2020, 1, 2)",), "UUID": ("UUID(int=7)",), "Color": ("Color.RED",),
    "datetime": ("datetime(2020, 1, 2, tzinfo=ZoneInfo('Europe/Berlin'))",), "int | None": ("None", "3"),
    "Literal['a', 'b']": ("'b'",), "PurePosixPath": ("PurePosixPath('a/b')",),
    "IPv4Address": ("IPv4Address('10.0.0.1')",),
    "timedelta": ("timedelta(1, 2)",),
    "Any": ("(1, {2: [3]})", "Counter('aab')", "deque([1], 3)", "object()", "iter([])"),
}  # fmt: skip
AROUND = {
    "{}": "{}", "list[{}]": "[{0}, {0}]", "dict[str, {}]": "{{'k': {}}}", "tuple[{}, ...]": "({},)", "{} | None": "{}",
    "tuple[int, {}]": "(1, {})", "Annotated[{}, 'note']": "{}",
}  # fmt: skip
HEADS = {
    "pydantic": "class {0}(pydantic.BaseModel):", "frozen pydantic": "class {0}(pydantic.BaseModel, frozen=True):",
    "attrs": "@attrs.define\nclass {0}:", "frozen attrs": "@attrs.frozen\nclass {0}:",
    "loose attrs": "@attrs.define(slots=False)\nclass {0}:", "dataclass": "@dataclass\nclass {0}:",
    "frozen dataclass": "@dataclass(frozen=True, slots=True)\nclass {0}:", "Struct": "class {0}(msgspec.Struct):",
    "frozen Struct": "class {0}(msgspec.Struct, frozen=True, kw_only=True, tag=True):",
    "tuple": "class {0}(NamedTuple):",
    "dict": "class {0}(TypedDict):",
}  # fmt: skip
BEGINNING = """
from __future__ import annotations
from collections import Counter, deque
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo
import attrs, msgspec, pydantic

class Color(Enum):
    RED = 1
"""


def write(folder: Path, seed: int) -> None:
    """Write the module `models` of this *seed* into *folder*."""
    chance = random.Random(seed)
    lines = [BEGINNING]
    made: list[tuple[str, str, str]] = []  # the family, the name, and how one is made
    for number in range(NUMBER):
        family, name = chance.choice(list(HEADS)), f"Model{number}"
        # pydantic does not know the classes of attrs and msgspec, and TypedDicts of typing not before Python 3.12.
        usable = [each for each in made if "pydantic" not in family or "pydantic" in each[0] or each[0] == "tuple"]
        lines.append(HEADS[family].format(name))
        values = []
        for field in range(chance.randint(1, 5)):
            if usable and chance.random() < 0.3:
                _, hint, value = chance.choice(usable)
            else:
                hint = chance.choice(list(PLAIN))
                value = chance.choice(PLAIN[hint])
            around = chance.choice(list(AROUND))
            lines.append(f"    field{field}: {around.format(hint)}")
            values.append(f"field{field}={AROUND[around].format(value)}")
        value = f"{name}({', '.join(values)})"
        if len(value) < 2000:
            made.append((family, name, value))
        around = chance.choice(list(AROUND))
        lines.append(
            f"def make{number}(at: int) -> {around.format(name)}:\n    return {AROUND[around].format(value)}\n"
        )
    (folder / "models.py").write_text("\n".join(lines), encoding="utf-8")


def main(folder: str) -> None:
    from memocache import SQLiteCache, cached
    from tests.unit.serializers.samples import same

    sys.path.insert(0, folder)
    models: Any = importlib.import_module("models")
    cache = SQLiteCache(Path(folder) / "cache" / "cache.db", timeout=30)
    for number in range(NUMBER):
        make = getattr(models, f"make{number}")
        function = cached(timeout=600, cache=cache)(make)
        value, info = function(1), function.info()
        outcome = "hit" if info.hits else "stored" if info.stored else "refused" if info.failures else "lost"
        print(number, outcome if outcome == "refused" or same(value, make(1)) else "wrong")


if __name__ == "__main__":
    main(sys.argv[1])
