#!/usr/bin/env python3
"""A meter that only answers; with the word "silent" it does not even do that."""

import sys

import zmq

endpoint, name, *mood = sys.argv[1:]
with zmq.Context() as context, context.socket(zmq.REP) as socket:
    socket.bind(endpoint)
    for reading in range(100, 1_000_000):
        socket.recv()
        if mood == ["silent"]:
            print("asked, and silent")
            socket.poll()  # for ever
        socket.send_json({"meter": name, "reading": reading})
