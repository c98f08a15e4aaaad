"""The real agent as a process, with one input that is not ZeroMQ; the cloud is away, so that all stays in the log on disk."""

from __future__ import annotations

from pathlib import Path

from tests.lab.agent import AgentProcess, committed, wait_for

#: What the agent is called at a broker.
CLIENT = "board-7.in"
_QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/telemetry"
_CONFIG = """\
[device]
id = "board-7"

[aws]
region = "us-east-1"
endpoint_url = "http://127.0.0.1:1"

[spool]
directory = "{spool}"
max_bytes = "2 GiB"
keep_free = "1 MiB"

[[input]]
name = "in"
stream = "telemetry"
window = {window}
{keys}

[[stream]]
name = "telemetry"
queue = "{queue}"
"""


class SourceAgent(AgentProcess):
    """A board with an input called `in`."""

    def __init__(self, folder: Path, *, window: int) -> None:
        super().__init__(folder, device="board-7", endpoint="http://127.0.0.1:1", telemetry=_QUEUE, events=_QUEUE)
        self.window = window

    def configure(self, keys: str) -> None:
        """Write the configuration; `keys` are those of the input."""
        self.config.write_text(_CONFIG.format(spool=self.spool, window=self.window, keys=keys, queue=_QUEUE))

    def serve(self) -> None:
        """Start it, and wait until its source has its connection."""
        self.start()
        wait_for(lambda: self.status()["inputs"]["in"]["stands"], what="the source")

    @property
    def under_way(self) -> int:
        """Messages that its source has taken, and that are not settled."""
        return int(self.status()["inputs"]["in"]["under_way"])

    @property
    def committed(self) -> int:
        """Readings on disk."""
        return committed(self)["telemetry"]

    def memory(self, key: str) -> int:
        """Return VmRSS or VmHWM (its peak), in bytes."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{key}:")) * 1024
