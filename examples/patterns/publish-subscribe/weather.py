#!/usr/bin/env python3
"""Publishes the weather; waits until somebody listens (XPUB tells)."""

import json
import sys

import zmq

with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
    socket.bind(sys.argv[1])
    wanted = {socket.recv()[1:].decode() for _ in range(2)}
    print("somebody listens to", ", ".join(sorted(wanted)))
    for number in range(3):
        socket.send_multipart([b"temperature/berlin", json.dumps({"celsius": 20 + number}).encode()])
        socket.send_multipart([b"humidity/berlin", json.dumps({"percent": 50 + number}).encode()])
    socket.send_multipart([b"alarm/storm", b"force 9"])
    print("sent 3 temperatures, 3 humidities, 1 alarm")
