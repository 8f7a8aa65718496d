"""200 generated models go through a cache to another process and come back the same, or are refused."""

from pathlib import Path

import pytest

from tests.contract import generated
from tests.support.processes import output_of, run_python


@pytest.mark.parametrize("seed", range(1))
def test_generated_models_come_back_in_another_process_or_are_refused(tmp_path: Path, seed: int) -> None:
    generated.write(tmp_path, seed)
    outcomes = []
    for hash_seed in "12":
        lines = output_of(run_python("-m", "tests.contract.generated", str(tmp_path), seed=hash_seed))
        outcomes.append([line.split()[1] for line in lines])
    first, second = outcomes
    assert len(first) == len(second) == generated.NUMBER
    text = (tmp_path / "models.py").read_text(encoding="utf-8")
    for number, (one, other) in enumerate(zip(first, second, strict=True)):
        # What holds an object without a form is refused in both; all else is stored by one, and read by the other.
        made = text.partition(f"def make{number}(")[2].partition("\ndef ")[0].partition("return")[2].partition("\n")[0]
        is_plain = "object()" not in made and "iter([])" not in made
        assert (one, other) == (("stored", "hit") if is_plain else ("refused", "refused")), (number, made)
    assert first.count("stored") > 100
    assert first.count("refused") > 10
