"""Limits that both sides obey: the device never makes what the cloud would refuse, and the cloud refuses what no device makes.

Frozen: stored envelopes depend on them. Sizes are in bytes.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

#: One SQS message, and one batch, at most: body plus attribute names, types and values in UTF-8 (SQS quotas, since August 2025).
MAX_MESSAGE: Final = 1 * MIB
#: Entries in one SendMessageBatch (SQS quotas).
MAX_BATCH_ENTRIES: Final = 10
#: SQS bills each call as one request per started 64 KiB of its payload (SQS pricing).
BILLING_UNIT: Final = 64 * KIB

#: Decoded data of one envelope, at most: a bound against decompression bombs.
MAX_DECODED: Final = 4 * MIB
#: Readings in one envelope, at most; so an index into an envelope fits in 16 bits.
MAX_READINGS: Final = 65_536
#: One reading, all its frames together: after base64 it still fits one SQS message with its attributes.
MAX_READING: Final = 700 * KIB
#: Frames of one reading, at most.
MAX_FRAMES: Final = 1_024
#: A topic or a client, in UTF-8. A first frame that is longer, or is not UTF-8, is data.
MAX_LABEL: Final = 256
#: The sentence of a notice, in characters; the writer cuts longer ones.
MAX_DETAIL: Final = 1_000
#: Arrays and objects within each other in a JSON payload that travels as `data`; deeper ones go as base64, so that every consumer can read
#: the event around it (System.Text.Json stops at 64, Python near 1,000 less the depth of the stack it is called from).
MAX_DEPTH: Final = 60
#: Sequence numbers are 63 bits, from 1.
MAX_SEQ: Final = 2**63 - 1
#: Receive times are microseconds since 1970 UTC, up to the end of the year 9999 (what RFC 3339 can say).
MAX_TIME: Final = 253_402_300_799_999_999
