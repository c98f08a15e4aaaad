#!/usr/bin/env python3
"""Squares what it gets, and passes it on."""

import sys

import zmq

tasks, results, name = sys.argv[1:]
with zmq.Context() as context, context.socket(zmq.PULL) as source, context.socket(zmq.PUSH) as sink:
    source.connect(tasks)
    sink.connect(results)
    while True:
        number = source.recv_json()
        sink.send_json({"number": number, "square": number * number, "by": name})
        print("squared", number)
