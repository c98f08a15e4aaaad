"""Benchmarks: every figure that the project promises, as a ratio against a bare reference in the same run. `python -m bench --help`.

Promises
- What is compared runs in the same run, on the same machine, on the same frames, in turns; a figure is the median of several rounds.
- The producer and the REQ clients are C (`producer.c`), so that they are not what is measured; the SQS end is one minimal `responder`.
- The agent is started as users start it: `device-agent run --config FILE`, with the defaults but for what `board` says.
- A figure that cannot be measured here says why; it is never guessed, and counts as not met.

How: `rates`, `acks`, `writes`, `idle`, `backlog` and `archive` each measure a group of figures; `references` are the bare loops, run as
processes of their own; `goals` holds what is to be reached.
"""
