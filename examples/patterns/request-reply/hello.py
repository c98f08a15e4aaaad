#!/usr/bin/env python3
"""The client of the ZeroMQ guide: sends Hello, prints the answer."""

import sys

import zmq

with zmq.Context() as context, context.socket(zmq.REQ) as socket:
    socket.connect(sys.argv[1])
    for number in range(1, 4):
        socket.send_string(f"Hello {number}")
        print("received", socket.recv_string())
