"""The strict interpreter that other tests run programs in."""

import pytest

from tests.support.strict import run_strictly

SLOW = """
import asyncio

async def main():
    asyncio.get_running_loop().slow_callback_duration = 0.0  # as if the machine were busy
    await asyncio.sleep(0)

asyncio.run(main())
print("done")
"""


def test_that_a_machine_is_busy_is_no_complaint() -> None:
    assert run_strictly(SLOW) == "done\n"


@pytest.mark.parametrize(
    "complains", ['raise SystemExit("Executing")', "open('/dev/null')", "import asyncio; asyncio.sleep(0)", "1 / 0"]
)
def test_all_else_is_one(complains: str) -> None:
    with pytest.raises(AssertionError):
        run_strictly(complains)
