"""Python run in processes of their own."""

import subprocess
import sys
from pathlib import Path

import memocache

ROOT = Path(memocache.__file__).parents[1]


def run_python(*arguments: str, seed: str = "random") -> "subprocess.Popen[str]":
    environment = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, text=True)


def output_of(process: "subprocess.Popen[str]") -> list[str]:
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output.split("\n")[:-1]
