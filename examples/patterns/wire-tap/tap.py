#!/usr/bin/env python3
"""Passes messages on, and a copy of each to the agent."""

import sys

import zmq

before, behind, agent = sys.argv[1:]
with zmq.Context() as context:
    source, sink, tap = context.socket(zmq.PULL), context.socket(zmq.PUSH), context.socket(zmq.PUSH)
    source.bind(before)
    sink.bind(behind)
    tap.connect(agent)
    zmq.proxy(source, sink, tap)
