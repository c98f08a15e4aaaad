#!/usr/bin/env python3
"""Orders A; goes away before the answer, comes back, and orders A again."""

import sys

import zmq

with zmq.Context() as context:
    for trial in (1, 2):
        with context.socket(zmq.REQ) as socket:
            socket.connect(sys.argv[1])
            socket.send_json({"order": "A", "quantity": 3})
            socket.poll()
            if trial == 1:
                print("an answer is there, and nobody reads it: the order is sent again")
            else:
                print("acknowledged:", socket.recv_string())
