#!/usr/bin/env python3
"""Tells what a door does, in order."""

import sys

import zmq

with zmq.Context() as context, context.socket(zmq.REQ) as socket:
    socket.connect(sys.argv[1])
    for state in ("open", "closed", "locked", "open", "closed", "locked"):
        socket.send_string(state)
        socket.recv()
    print("the door is locked")
