#!/usr/bin/env python3
"""Prints what comes; ends after five."""

import sys

import zmq

with zmq.Context() as context, context.socket(zmq.PULL) as socket:
    socket.connect(sys.argv[1])
    for _ in range(5):
        print(socket.recv_json()["celsius"], "degrees")
