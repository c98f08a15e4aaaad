#!/usr/bin/env python3
"""A program with the agent inside."""

import os

import zmq

from device_agent import embedded

with embedded.agent(os.environ["AGENT_TOML"]) as agent:
    with agent.context.socket(zmq.PUSH) as sensors:
        sensors.connect("inproc://sensors")
        for number in range(5):
            sensors.send_json({"celsius": 20 + number})
    print("the agent in here is", agent.status()["device"])
