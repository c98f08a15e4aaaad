# ruff: noqa: INP001  # a program of its own, not part of a package
"""The script that people write: PULL, and send_message_batch of ten. Nothing on disk, nothing retried. A peer that runs everywhere.

python -m bench --only peers --peer 'naive=.venv/bin/python bench/peers/naive.py'
"""

from __future__ import annotations

import os

import boto3
import zmq


def main() -> None:
    """Receive and send for ever."""
    queue = os.environ["QUEUE_URL"]
    client = boto3.client("sqs", region_name=os.environ["AWS_REGION"], endpoint_url=os.environ["SQS_ENDPOINT"])
    socket = zmq.Context().socket(zmq.PULL)
    socket.bind(os.environ["ZMQ_ENDPOINT"])
    while True:
        texts = [socket.recv().decode()]
        while len(texts) < 10 and socket.poll(100):
            texts.append(socket.recv().decode())
        client.send_message_batch(QueueUrl=queue, Entries=[{"Id": str(at), "MessageBody": text} for at, text in enumerate(texts)])


if __name__ == "__main__":
    main()
