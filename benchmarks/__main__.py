"""Ask all questions, or those that the command line names."""

from benchmarks import hit, memcached
from benchmarks.command import main

main([hit.question, memcached.question])
