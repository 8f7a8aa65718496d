"""The demo's other process: it runs one line with memcached as its cache, and reports on stdout."""

import json
import os
import sys

from memocache import MemcachedCache, configure
from memocache._demo.measuring import run
from memocache._demo.xref import references


def main(address: str, key_prefix: str, line: str) -> None:
    """Run *line* and print what happened."""
    configure(MemcachedCache([address], key_prefix=key_prefix))
    ran = run(line, {"references": references}, references)
    report = {"seconds": ran.seconds, "outcome": ran.outcome, "places": len(ran.value), "process": os.getpid()}
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
