#!/usr/bin/env python3
"""Prints the ticks; ends with the fifth."""

import sys

import zmq

with zmq.Context() as context, context.socket(zmq.SUB) as socket:
    socket.connect(sys.argv[1])
    socket.subscribe("tick")
    while True:
        _, tick = socket.recv_multipart()
        print("tick", tick.decode())
        if tick == b"5":
            break
