#!/usr/bin/env python3
"""Plays the incident: a message that has failed too often, its discovery, and the redrive."""

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3

from device_agent.wire.envelope import encode_reading


def main(device: str, outputs: str, endpoint: str) -> None:
    """Bury a message, find it, send it back."""
    names = next(iter(json.loads(Path(outputs).read_text(encoding="utf-8")).values()))
    message = encode_reading(
        device=device, stream="events", epoch="0123456789abcdef", seq=1, agent="example", received=1_795_000_000_000_000, synced=True,
        topic="door", payload=b'"ajar"',
    )  # fmt: skip  # what the agent sends for one reading of a stream with `pack = false`
    sqs = boto3.client("sqs", endpoint_url=endpoint, region_name=names["Region"])
    order = {"MessageGroupId": f"{device}.events", "MessageDeduplicationId": "1"}
    # SQS puts it there when its function has failed too often.
    sqs.send_message(QueueUrl=names["EventsDeadLetterQueueUrl"], MessageBody=message, **order)
    for action in ("list", "redrive"):
        command = ["deadletters", action, "--queue", "events", "--device", device, "--outputs", outputs, "--endpoint-url", endpoint]
        print("$ device-agent", *command[:6], flush=True)
        subprocess.run([sys.executable, "-m", "device_agent.cli", *command], check=False)  # noqa: S603  # list: 1, there are some


main(sys.argv[1], os.environ["OUTPUTS"], os.environ["ENDPOINT_URL"])
