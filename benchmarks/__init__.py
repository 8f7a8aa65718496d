"""Benchmarks: memocache side by side with its peers, through public names only.

`python -m benchmarks` runs them all, `python -m benchmarks hit miss` those two. `harness` has what a benchmark and a
peer are, and how calls are timed; `peers` who takes part; `calls`, `backends`, `eviction`, `scale` and `herd` the
benchmarks; `report` and `charts` show their results.
`python -m benchmarks.gate` answers another question: whether memocache itself needs more instructions than it did.
"""
