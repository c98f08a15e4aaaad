#!/usr/bin/env python3
"""Hands out twenty jobs, once both boards are there."""

import sys

import zmq
from zmq.utils.monitor import recv_monitor_message

with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
    monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    socket.bind(sys.argv[1])
    for _ in range(2):
        recv_monitor_message(monitor)
    for number in range(1, 21):
        socket.send_json({"job": number})
    print("handed out 20 jobs")
    socket.disable_monitor()
