"""Fault laboratory: tools that break the pipeline on purpose, shared by tests/faults, `make torture`, `make soak` and `make fuzz`.

agent      the real agent as a process, made to be killed
producers  ordinary ZeroMQ programs at full rate that log what was acknowledged to them (`python -m tests.lab.producers`)
books      what was acknowledged against what is in the lake: the judge
proxy      an HTTP proxy in front of SQS that fails, throttles, loses answers, cuts, delays
backend    where the readings end: the local cloud, or our own SQS fake with the real landing in this process
killing    the kill loop
loopfs     a file system of its own on a loop device, whose power can be cut
writer     a spool under load in a process of its own (`python -m tests.lab.writer`)
torture    a thousand kills (`python -m tests.lab.torture`)
soak       long load with outages, everything that could grow measured (`python -m tests.lab.soak`)
"""
