"""Ask all questions, or those that the command line names."""

from benchmarks import (
    awaited,
    backends,
    eviction,
    fleet,
    herd,
    hit,
    memcached,
    miss,
    processes,
    scale,
    start,
    tasks,
    threads,
)
from benchmarks.command import main

ALL = hit, awaited, miss, start, eviction, scale, threads, memcached, backends, processes, herd, tasks, fleet

main([each.question for each in ALL])
