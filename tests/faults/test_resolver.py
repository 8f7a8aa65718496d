"""A name server that says nothing: a real one, in a network name space, which needs root on Linux."""

import json
import os
import subprocess
import sys

import pytest

from tests.faults.name_space import CALLS, TIMEOUT
from tests.support.selection import ROOT

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="a network name space needs root on Linux"
)


@pytest.mark.parametrize("kind", ["memcached", "Redis"])
def test_a_name_server_that_says_nothing_costs_a_deadline_and_is_asked_in_the_background(kind: str) -> None:
    words = [sys.executable, "-m", "tests.faults.name_space", kind]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    if run.stderr.startswith("no name spaces here"):  # as in most containers
        pytest.skip(run.stderr.strip())
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])  # dnslib has told of each question before
    assert found["slowest"] < TIMEOUT + 1
    assert found["computed"] == CALLS
    assert found["hits"]
    assert found["asked"] > 0
