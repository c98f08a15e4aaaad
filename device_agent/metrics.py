"""Metrics: every figure that the agent counts, in one place. A counter has one writing thread; readers may see it a moment late.

`device-agent status` prints them; names are final, since people watch them. Counters only grow from 0 at the start of the process.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class InputMetrics:
    """One input; written by the receiver."""

    received: int = 0  # readings handed to the spool
    received_bytes: int = 0
    refused: int = 0  # answered with a refusal (REQ and DEALER only)
    postponed: int = 0  # found no room, and offered again by a source of ours: each time counts
    oversize: int = 0  # larger than max_reading: refused, or set aside
    malformed: int = 0  # not what the pattern demands (a REQ without delimiter): discarded
    handshakes_failed: int = 0  # connections that came to nothing; `inputs` says why
    probes: int = 0  # empty messages of peers with ZMQ_PROBE_ROUTER: skipped
    replies: int = 0  # sent
    replies_lost: int = 0  # the peer had gone
    lost: int = 0  # PULL and SUB: held by ZeroMQ when the socket was closed, and not taken since the stream took nothing


@dataclass(slots=True)
class StreamMetrics:
    """One stream."""

    # written by the writer
    committed: int = 0  # readings on disk, fsynced
    committed_bytes: int = 0  # their payload bytes
    commits: int = 0  # chunks: one write and one fdatasync each
    written_bytes: int = 0  # into segments, all records
    closed: int = 0  # envelopes
    dropped: int = 0  # readings dropped by policy
    damaged: int = 0  # readings lost to damage on disk
    torn_bytes: int = 0  # cut off at opening
    # written by the uplink
    sent: int = 0  # readings accepted by the queue
    sent_messages: int = 0
    sent_bytes: int = 0  # as SQS counts them
    requests: int = 0  # answered or failed
    billed_requests: int = 0  # accepted ones in units of 64 KiB
    retried_messages: int = 0
    quarantined: int = 0  # readings


@dataclass(slots=True)
class ProcessMetrics:
    """The agent as a process."""

    descriptor_shortages: int = 0  # times that file descriptors ran out
    log_lines_dropped: int = 0  # nobody read standard error, or it could not be written


@dataclass(slots=True)
class Metrics:
    """All of them; inputs and streams by name."""

    process: ProcessMetrics = field(default_factory=ProcessMetrics)
    inputs: dict[str, InputMetrics] = field(default_factory=dict)
    streams: dict[str, StreamMetrics] = field(default_factory=dict)

    def snapshot(self) -> dict[str, Any]:
        """Return plain dictionaries, as `status --json` shows them."""
        return asdict(self)
