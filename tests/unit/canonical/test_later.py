"""Types of modules that are imported only where they are used."""

import json
import subprocess
import sys
import uuid

import pytest

from memocache import UnkeyableArgument
from memocache._canonical import encode

VALUES = [
    "decimal.Decimal('1.50')",
    "fractions.Fraction(1, 3)",
    "uuid.UUID(int=7)",
    "zoneinfo.ZoneInfo('UTC')",
    "pathlib.PurePosixPath('/a/b')",
    "pathlib.PureWindowsPath('c:/a')",
    "ipaddress.ip_address('127.0.0.1')",
    "ipaddress.ip_network('::/64')",
    "[{(uuid.UUID(int=7),): decimal.Decimal(2)}]",
]
MODULES = ["decimal", "fractions", "uuid", "zoneinfo", "pathlib", "ipaddress"]


def run(code: str) -> object:
    """Return what *code* says as JSON in an interpreter that has just begun."""
    words = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout)


def test_nothing_is_imported_for_its_types() -> None:
    there = run("import json, memocache; print(json.dumps(sorted(sys.modules)))")
    before = run("import json; print(json.dumps(sorted(sys.modules)))")
    assert isinstance(there, list)
    assert isinstance(before, list)
    assert not {*MODULES, "platform", "logging", "wrapt", "asyncio"} & (set(there) - set(before))


@pytest.mark.parametrize("value", VALUES)
def test_it_is_the_same_whichever_was_imported_first(value: str) -> None:
    modules = ", ".join(name for name in MODULES if name in value)
    show = f"import json; print(json.dumps(encode({value}).hex()))"
    after = run(f"from memocache._canonical import encode\nencode(object)\nimport {modules}\n{show}")
    before = run(f"import {modules}\nfrom memocache._canonical import encode\n{show}")
    names = {name: __import__(name) for name in MODULES}
    assert after == before == encode(eval(value, names)).hex()


def test_what_only_has_the_name_is_not_taken_for_it() -> None:
    pretender = type("UUID", (), {"__module__": "uuid", "bytes": b"x" * 16})
    with pytest.raises(UnkeyableArgument, match="a UUID instance has no stable form"):
        encode(pretender())
    assert encode(uuid.UUID(int=1)).startswith(b"UUID16:")


def test_a_module_that_is_not_whole_yet_is_asked_again() -> None:
    code = """
import json, types
from memocache import UnkeyableArgument
from memocache._canonical import encode
sys.modules["uuid"] = types.ModuleType("uuid")
try:
    encode(object())
except UnkeyableArgument:
    del sys.modules["uuid"]
import uuid
print(json.dumps(encode(uuid.UUID(int=7)).hex()))
"""
    assert run(code) == encode(uuid.UUID(int=7)).hex()
