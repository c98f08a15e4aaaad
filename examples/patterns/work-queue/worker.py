#!/usr/bin/env python3
"""Does five of the tasks that it gets, one after the other, and goes home; what it was given beyond goes back to the queue."""

import sys

import pika

connection = pika.BlockingConnection(pika.URLParameters(sys.argv[1]))
channel = connection.channel()
channel.queue_declare("task", durable=True)
channel.basic_qos(prefetch_count=1)
for done, (method, _, body) in enumerate(channel.consume("task"), start=1):
    print("did", body.decode())
    channel.basic_ack(method.delivery_tag)
    if done == 5:
        break
connection.close()
