"""Envelope: one SQS message is one CloudEvents 1.0 event in JSON. Facade: the one name for all of it.

    readings  device-agent.readings.v1  data blocks of many readings, in `data_base64`; id <epoch>-<firstseq>
    reading   device-agent.reading.v1   one reading for consumers that know nothing of this project (`pack = false`): a JSON payload stands
                                        unchanged in `data`, any other in `data_base64`; id <epoch>-<firstseq>
    notice    device-agent.notice.v1    sequence numbers that will not come, and why; id <epoch>-x<first>-<last>

Extension attributes: device, stream, epoch, firstseq (text: CloudEvents integers have 32 bits), count, agent; on a single reading also
clock, topic, client, framesizes. `type` carries the version: `decode` reads all versions ever shipped, the encoders write the newest.
Attributes are ASCII, so every body is text that SQS accepts. What is not a valid envelope raises `EnvelopeError`, whatever the input.

    content     what it says: `Envelope` or `Notice`, its id and digest
    encoding    writes the newest version
    decoding    reads every version
    timestamps  RFC 3339
"""

from device_agent.wire.content import REASONS, Envelope, Notice
from device_agent.wire.decoding import decode
from device_agent.wire.encoding import (
    BLOCKS,
    NOTICE_TYPE,
    READING_TYPE,
    READINGS_TYPE,
    capacity,
    encode_blocks,
    encode_notice,
    encode_reading,
    overhead,
)
from device_agent.wire.errors import EnvelopeError
from device_agent.wire.timestamps import microseconds, rfc3339

__all__ = [
    "BLOCKS",
    "NOTICE_TYPE",
    "READINGS_TYPE",
    "READING_TYPE",
    "REASONS",
    "Envelope",
    "EnvelopeError",
    "Notice",
    "capacity",
    "decode",
    "encode_blocks",
    "encode_notice",
    "encode_reading",
    "microseconds",
    "overhead",
    "rfc3339",
]
