"""`python -m memocache` is the command `memocache`."""

import sys

from memocache.cli import main

if __name__ == "__main__":
    sys.exit(main())
