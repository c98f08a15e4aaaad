"""A flood through a broker: many messages, and how much memory the agent needed for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from device_agent.wire.limits import MIB
from tests.lab.sourcekills import kills
from tests.lab.sourcekills.kinds import Kind, world
from tests.lab.sourcekills.publishers import AmqpProgram

#: Copies of a message that are under way: in the library's buffer, in two sockets, in the writer's batch, in the envelope that is open.
COPIES: Final = 8
#: Bytes for what grows once and not with the messages: 30 to 52 MiB were measured, and the same after 5,000 messages as after 30,000.
#: They are the uplink's tries with envelopes of 1 MiB, and the arenas of malloc for the threads that have work now.
ALLOWANCE: Final = 64 * MIB
#: Messages that a program sends before it waits for the broker.
_CHUNK: Final = 1000
#: Seconds for a flood, on a very slow machine.
_CEILING: Final = 1800.0


@dataclass(frozen=True, slots=True)
class Flood:
    """What a flood needed, in bytes, and what was wrong."""

    idle: int
    peak: int
    bound: int  # of peak
    faults: list[str]

    def __str__(self) -> str:
        return f"idle {self.idle / MIB:.1f} MiB, peak {self.peak / MIB:.1f} MiB, bound {self.bound / MIB:.1f} MiB"


def flood(kind: Kind, folder: Path, count: int, *, size: int, window: int = 256) -> Flood:
    """Send `count` messages of `size` bytes through a broker."""
    settings = {"persistence": "false", "log_type": "error"} if kind.name == "mqtt" else {}
    with world(kind, folder, window=window, size=size, **settings) as made:
        made.agent.serve()
        idle = made.agent.memory("VmRSS")
        if isinstance(made.program, AmqpProgram):
            made.program.flood(count)
        else:
            made.program.chunk = _CHUNK
            made.program.send(count)
        kills.settle(made, ceiling=_CEILING)
        peak = made.agent.memory("VmHWM")
        faults = kills.verdict(made, 0, flagged=False)
    bound = idle + window * size * COPIES + ALLOWANCE
    if peak > bound:
        faults.append(f"the agent needed {peak} bytes, at most {bound} are right")
    return Flood(idle, peak, bound, faults)
