#!/usr/bin/env python3
"""Sends ten orders without waiting between them, and strikes each off when its answer comes."""

import json
import sys

import zmq

with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
    socket.connect(sys.argv[1])
    open_orders = {b"%d" % number for number in range(1, 11)}
    for order in sorted(open_orders, key=int):
        socket.send_multipart([order, b"order " + order])
    while open_orders:
        order, answer = socket.recv_multipart()
        said = json.loads(answer)
        if not said["ok"]:
            raise SystemExit(f"order {order.decode()}: {said['error']}")
        open_orders.remove(order)
    print("all ten are on disk")
