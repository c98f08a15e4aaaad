#!/usr/bin/env python3
"""Declares the queue, waits for two consumers, and publishes twenty tasks; each is confirmed by the broker."""

import sys
import time

import pika

with pika.BlockingConnection(pika.URLParameters(sys.argv[1])) as connection:
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("task", durable=True)
    while channel.queue_declare("task", passive=True).method.consumer_count < 2:
        time.sleep(0.1)
    for number in range(1, 21):
        channel.basic_publish("", "task", b"task %d" % number, pika.BasicProperties(delivery_mode=2), mandatory=True)
    print("20 tasks are confirmed")
