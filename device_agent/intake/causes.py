"""Causes: what a handshake that failed means at this input, and what to do. libzmq tells a number; or nothing, and hangs up.

What each mismatch looks like was tried with libzmq 4.3.5: the tests name each (`tests/faults/test_handshakes.py`). Of two libzmq peers that
do not fit, either may notice first, and the other one only sees that it hung up.
Source of the numbers: zmq.h (ZMQ_PROTOCOL_ERROR_*), zmq_socket_monitor(3).
"""

from __future__ import annotations

import errno
from typing import Final

import zmq

from device_agent.config import InputConfig, Pattern

_CRYPTOGRAPHIC: Final = 0x11000001
_MECHANISM: Final = 0x11000002
#: What sends to each pattern.
_KINDS: Final = {Pattern.PULL: "PUSH", Pattern.SUB: "PUB or XPUB", Pattern.REP: "REQ or DEALER", Pattern.ROUTER: "DEALER or REQ"}

DENIED: Final = "the peer's key is not in the input's `curve.allow`"


def of_protocol(config: InputConfig, code: int) -> str:
    """Return the cause of HANDSHAKE_FAILED_PROTOCOL."""
    if code == _MECHANISM:
        if config.curve is None:
            return "the peer uses CURVE or PLAIN, and this input has no [input.curve]: set both alike"
        return "the peer does not use CURVE, and this input has [input.curve]: set both alike"
    if config.authenticates:
        what = "has another server key than this input's public key, or is a CURVE server too"
        return f"the peer {what}: give it this input's public key as its server key"
    if config.curve is not None:
        return "the program is a CURVE client too, or is damaged on the way: it must be the CURVE server where the input has `server_key`"
    return f"the peer does not keep to ZMTP (0x{code:08x}): is it a ZeroMQ program?"


def of_refusal(status: int) -> str:
    """Return the cause of HANDSHAKE_FAILED_AUTH, with the status that the other side's ZAP handler gave."""
    return f"the program refuses this input's key (ZAP status {status}): it must allow the public key that belongs to `curve.secret_key`"


def of_silence(config: InputConfig, number: int) -> str:
    """Return the cause of HANDSHAKE_FAILED_NO_DETAIL, with its errno."""
    if number == errno.EAGAIN:  # libzmq's timer (ZMQ_HANDSHAKE_IVL)
        if config.curve is not None and not config.authenticates:
            return "the program ended no handshake in time: it does not allow this input's key, or is not a ZeroMQ program"
        return "the peer said nothing in time: it waits as a PLAIN or CURVE server does, or is not a ZeroMQ program"
    if config.curve is None:
        mismatch = "its CURVE or PLAIN settings do not fit an input without [input.curve]"
    elif config.authenticates:
        mismatch = "its settings do not fit an input with [input.curve]"
    else:
        mismatch = "it has another key than `server_key`, or is not a CURVE server"
    kind = f"its socket is no {_KINDS[config.pattern]}"
    return f"the peer hung up before the end of the handshake: {kind}, {mismatch}, or it only tried whether the port is open"


def of_leaving(config: InputConfig) -> str:
    """Return the cause where libzmq told nothing at all."""
    what = f"the connection ended without a handshake: its socket is no {_KINDS[config.pattern]}, or it speaks"
    if config.curve is not None:
        return f"{what} ZMTP 1.0 or 2.0 (libzmq before 4.0), which knows no CURVE, or no ZeroMQ at all"
    if config.greets:
        return f"{what} ZMTP 1.0 or 2.0 (libzmq before 4.0), which `old_peers` forbids, or no ZeroMQ at all"
    return f"{what} ZMTP 1.0 or 2.0 (which is served), or no ZeroMQ at all"


def of_event(config: InputConfig, event: int, value: int) -> str:
    """Return the cause of any of libzmq's events of a handshake that failed."""
    if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
        return of_protocol(config, value & 0xFFFFFFFF)
    if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
        return DENIED if config.authenticates else of_refusal(value)
    return of_silence(config, value)
