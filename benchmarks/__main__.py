"""Ask all questions, or those that the command line names."""

from benchmarks import eviction, herd, hit, memcached, miss, processes, scale, start, threads
from benchmarks.command import main

main([each.question for each in (hit, miss, start, eviction, scale, threads, memcached, processes, herd)])
