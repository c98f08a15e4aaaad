"""What identifies this board, so that a cloned card is noticed: two boards must never write under one epoch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from device_agent.descriptors import SHORT

#: machine-id(5), and the serial number that the firmware of ARM boards passes on.
_SOURCES = (Path("/etc/machine-id"), Path("/sys/firmware/devicetree/base/serial-number"))


def fingerprint(sources: tuple[Path, ...] = _SOURCES) -> str:
    """Return 32 hexadecimal digits that change with the machine id or the board's serial number.

    A digest, since machine-id(5) asks not to show the id itself. What cannot be read counts as empty; but without a file descriptor nothing
    can be read, and that says nothing about the board.

    Raises:
        OSError: there is no file descriptor.
    """
    digest = hashlib.blake2b(digest_size=16, person=b"device-agent")
    for source in sources:
        try:
            digest.update(source.read_bytes())
        except OSError as error:
            if error.errno in SHORT:
                raise
            digest.update(b"?")  # no such file on this board, or not for us to read: the other source decides
        digest.update(b"\0")
    return digest.hexdigest()
