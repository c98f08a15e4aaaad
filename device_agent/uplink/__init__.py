"""Uplink: from the spool to SQS. boto3 is imported here and nowhere else on the device.

sender        the threads, their start and their end (`Uplink`)
jobs          what a sender is told to do
scheduler     what goes into the next request, and what an answer means
lane, queue   the state of a stream, and of an SQS queue
verdicts      the one table from SQS's errors to "not now" and "never"
client        SendMessageBatch over boto3
http          TLS, also in 1970, and answers that end
pools         connections that were forgotten on the way
clock_offset  what time it really is
credentials   boto3's chain, or the AWS IoT credentials provider
bandwidth     the cap
probe         one look from here: `check --online`, `send`
"""

from __future__ import annotations

from device_agent.uplink.probe import probe, send_once
from device_agent.uplink.sender import Uplink

__all__ = ["Uplink", "probe", "send_once"]
