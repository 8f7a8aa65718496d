"""Chance: our own random numbers: we take none of a program's, which may have set `random.seed` to have them again."""

import random
from typing import Final

from memocache._fork import in_child

chance: Final = random.Random()

in_child(chance.seed)  # else all children of a process would draw the same
