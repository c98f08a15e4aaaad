#!/usr/bin/env python3
"""Sends five temperatures to whoever listens."""

import sys

import zmq

with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
    socket.connect(sys.argv[1])
    for number in range(5):
        socket.send_json({"celsius": 20 + number})
