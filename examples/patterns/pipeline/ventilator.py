#!/usr/bin/env python3
"""Hands out ten numbers."""

import sys

import zmq

with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
    socket.bind(sys.argv[1])
    for number in range(10):
        socket.send_json(number)
