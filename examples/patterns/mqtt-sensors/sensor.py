#!/usr/bin/env python3
"""Publishes three temperatures and an alarm; a topic that nobody wants beside them."""

import sys
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.connect("127.0.0.1", urlsplit(sys.argv[1]).port)
client.loop_start()
for number in range(3):
    client.publish("sensors/kitchen/temperature", f"{21 + number}.5", qos=1).wait_for_publish()
client.publish("sensors/door", "open", qos=1).wait_for_publish()
client.publish("chatter", "not for the cloud", qos=1).wait_for_publish()
client.disconnect()
client.loop_stop()
print("published 3 temperatures, 1 door, 1 chatter")
