#!/usr/bin/env python3
"""Sends a beacon ten times a second, until it is stopped."""

import itertools
import sys
import time

import zmq

with zmq.Context() as context, context.socket(zmq.PUB) as socket:
    socket.connect(sys.argv[1])
    for number in itertools.count(1):
        socket.send_multipart([b"beacon", b"%d" % number])
        time.sleep(0.1)
