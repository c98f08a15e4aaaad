"""A spool whose last segment is any bytes: for the fuzzer."""

from __future__ import annotations

from functools import cache

from crc32c import crc32c

from device_agent.spool import record
from device_agent.spool.record import HEADER_SIZE, Kind, Record
from device_agent.spool.scan import scan
from device_agent.wire import block
from device_agent.wire.block import Run
from device_agent.wire.limits import MIB
from tests.spool.disk import FakeDisk, Inode
from tests.spool.world import HandClock, World


def _file(disk: FakeDisk, ending: str) -> Inode:
    """The last segment file of the only epoch, or its journal."""
    path = next(one for one in disk.directories if "/000001-" in one)
    name = max(name for name in disk.directories[path].current if name.endswith(ending))
    return disk.directories[path].current[name]


def _world() -> World:
    world = World(max_bytes=1 * MIB)
    for count in (1, 3, 20):
        world.commit(count, 200)
    world.later(10.0)
    world.commit(2, 50)
    world.spool.stop()
    world.spool.close()
    return world


@cache
def segment() -> bytes:
    """A sound one: several envelopes, borders, a header."""
    return bytes(_file(_world().disk, ".log").current).rstrip(b"\0")


@cache
def a_block() -> bytes:
    """A sound data block."""
    return block.encode([Run(HandClock().now(), True, [b"a", [b"b", b""], b"\xff" * 100], ["t", None, "u"], None)])


@cache
def records() -> bytes:
    """Few bytes, most of them headers: two envelopes, a jump, a notice, a third envelope without its border."""
    block, epoch = a_block(), scan(segment(), number=1, base=1).epoch
    parts = [
        Record(kind=Kind.SEGMENT, first=1, count=0, time=1, body=record.segment_body(epoch, bytes(16))),
        Record(kind=Kind.DATA, first=1, count=3, time=1, body=block),
        Record(kind=Kind.DATA, first=4, count=3, time=1, body=block, offset=3),
        Record(kind=Kind.BORDER, first=1, count=6, time=1, body=record.border_body(2 * (HEADER_SIZE + len(block)), 2 * len(block))),
        Record(kind=Kind.JUMP, first=7, count=2, time=1, body=record.notice_body("dropped", "full")),
        Record(kind=Kind.NOTICE, first=2, count=1, time=1, body=record.notice_body("quarantined", "no")),
        Record(kind=Kind.DATA, first=9, count=3, time=1, body=block),
    ]
    return b"".join(one.encode(1) for one in parts)


@cache
def journal() -> bytes:
    """A head, settled ranges one behind the other and apart, a delivered notice."""
    parts = [
        Record(kind=Kind.JOURNAL, first=0, count=0, time=1, body=bytes.fromhex(scan(segment(), number=1, base=1).epoch)).encode(0),
        *(Record(kind=Kind.SETTLED, first=first, count=3, time=1).encode(0) for first in (1, 4, 10)),
        Record(kind=Kind.TOLD, first=4, count=2, time=1).encode(1),
    ]
    return b"".join(parts)


@cache
def columns() -> bytes:
    """What is in the frame of a sound data block."""
    now = HandClock().now()
    return block.encode_columns([Run(now, True, [b"a", [b"b", b""], b"c"], ["t", None, "u"], None), Run(now - 5, False, [b""], None, "k")])


def sealed(data: bytes) -> bytes:
    """Return the bytes with right checksums in every record, sound or not, and with bodies as long as they can be."""
    content = bytearray(data)
    at = content.find(record.MAGIC)
    while at >= 0 and at + HEADER_SIZE <= len(content):
        length = min(int.from_bytes(content[at + 8 : at + 12], "little"), len(content) - at - HEADER_SIZE)
        content[at + 8 : at + 12] = length.to_bytes(4, "little")
        body = bytes(content[at + HEADER_SIZE : at + HEADER_SIZE + length])
        content[at + 12 : at + 16] = crc32c(body).to_bytes(4, "little")
        content[at + HEADER_SIZE - 4 : at + HEADER_SIZE] = crc32c(bytes(content[at : at + HEADER_SIZE - 4])).to_bytes(4, "little")
        at = content.find(record.MAGIC, at + HEADER_SIZE + length)
    return bytes(content)


def open_with(data: bytes, ending: str = ".log") -> None:
    """Put `data` where the last segment is, or the journal; open, read everything, commit a reading; nothing raises and nothing loops."""
    world = _world()
    inode = _file(world.disk, ending)
    inode.current[:] = data
    inode.durable[:] = data
    inode.changes.clear()
    world.twins["a"].acknowledged.clear()  # what the bytes say is not what was acknowledged
    world.restart(cut=False)
    taken = 0
    while (border := world.spool.take("a")) is not None:
        taken += 1
        assert taken < 10_000, "it hands out envelopes without end"
        if not border.reason:
            world.spool.read(border)
        world.spool.delivered(border, border.first, border.last)
        world.turn()
    before = world.spool.status()["streams"]["a"]["next"]
    world.twins["a"].shown.clear()
    world.commit(1, 10)
    assert world.spool.status()["streams"]["a"]["next"] == before + 1
    world.spool.stop()
    world.spool.close()
