"""Benchmarks: one question a file, memocache side by side with its peers, through public names only.

`python -m benchmarks` answers them all, `python -m benchmarks hit` and `python -m benchmarks.hit` one.
A contestant more is three lines in the question's file; see `Question.contestant`. What a question is: `answer.Asked`.
`python -m benchmarks.gate` asks another one: whether memocache itself needs more instructions than it did.
"""
