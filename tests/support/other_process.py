"""Another process with the same cached function: python -m tests.support.other_process ADDRESS PREFIX LEASE (as JSON).

It says "computing" when it does, computes when it is told to by a line of input, and then says what it got.
"""

import json
import sys

from memocache import MemcachedCache, _binding, cached

__all__: list[str] = []


def main(address: str, prefix: str, lease: float) -> None:
    _binding.FIRST_LEASE = lease  # type: ignore[misc]

    @cached(cache=MemcachedCache([address], key_prefix=prefix, timeout=10), namespace="f")
    def f(x: int) -> str:
        print("computing", flush=True)
        sys.stdin.readline()
        return "theirs"

    print(f(1), flush=True)


if __name__ == "__main__":
    main(*map(json.loads, sys.argv[1:]))
