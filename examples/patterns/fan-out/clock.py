#!/usr/bin/env python3
"""Publishes five ticks, once all readers are there."""

import sys

import zmq

endpoint, readers = sys.argv[1], int(sys.argv[2])
with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
    socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # tell of every reader, not of the first alone
    socket.bind(endpoint)
    for _ in range(readers):
        socket.recv()
    for number in range(1, 6):
        socket.send_multipart([b"tick", b"%d" % number])
