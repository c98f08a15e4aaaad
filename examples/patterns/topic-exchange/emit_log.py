#!/usr/bin/env python3
"""Waits until the agent's queue is bound, and emits four log lines."""

import sys
import time

import pika

LINES = {"kern.critical": "disk on fire", "kern.info": "boot", "app.web.warn": "slow", "app.db.info": "vacuumed"}

with pika.BlockingConnection(pika.URLParameters(sys.argv[1])) as connection:
    channel = connection.channel()
    channel.exchange_declare("logs", "topic", durable=True)
    channel.confirm_delivery()
    while True:
        try:
            channel.basic_publish("logs", "kern.critical", LINES["kern.critical"].encode(), mandatory=True)
            break
        except pika.exceptions.UnroutableError:  # nobody wants it yet
            time.sleep(0.1)
    for key, line in list(LINES.items())[1:]:
        channel.basic_publish("logs", key, line.encode())
        print("emitted", key)
