"""The demo's board: one agent, and the programs that talk to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

from localcloud.brokers import Broker
from localcloud.cloud import ROOT, LocalCloud
from localcloud.ports import free_ports
from localcloud.processes import GRACE, Agent, Process, ProcessError

_CONFIG = """\
# Written by the demo. Every key is explained in docs/reference/config.md.
[device]
id = "{device}"

[aws]
region = "{region}"
endpoint_url = "{endpoint}"

[spool]
directory = "{folder}/spool"
max_bytes = "64 MiB"
commit_interval = "200ms"

[uplink]
backoff_cap = "2s"                  # a board would wait longer; the demo has 20 seconds

[[input]]
name = "sensors"
pattern = "pull"
bind = ["tcp://127.0.0.1:{pull}"]
topic = "first-frame"
stream = "telemetry"

[[input]]
name = "weather"
pattern = "sub"
bind = ["ipc://{folder}/weather.ipc"]
topic = "first-frame"
stream = "telemetry"

[[input]]
name = "orders"
pattern = "rep"
bind = ["tcp://127.0.0.1:{rep}"]
topic = "orders"
stream = "events"

[[input]]
name = "meters"
kind = "mqtt"
url = "{mqtt}"
version = "3.1.1"
topics = ["meters/#"]
stream = "telemetry"

[[input]]
name = "script"
kind = "http"
listen = "127.0.0.1:{http}"
stream = "telemetry"

[[stream]]
name = "telemetry"
queue = "{telemetry}"
linger = "1s"

[[stream]]
name = "events"
queue = "{events}"
linger = "0s"
"""


class Board(Agent):
    """A board in a folder."""

    def __init__(self, *, folder: Path, cloud: LocalCloud, device: str, broker: Broker) -> None:
        """Make it; `broker` speaks MQTT."""
        self.device, self.broker = device, broker
        self.pull, self.rep, self.http = free_ports(3)
        outputs = cloud.outputs
        config = _CONFIG.format(
            device=device, region=outputs.region, endpoint=cloud.device_endpoint_url, folder=folder, pull=self.pull, rep=self.rep,
            mqtt=broker.url, http=self.http,
            telemetry=outputs.telemetry_queue_url, events=outputs.events_queue_url,
        )  # fmt: skip
        super().__init__(folder, config)
        self.programs: list[Process] = []

    def start_program(self, name: str, script: str, *arguments: str) -> None:
        """Start one of the examples."""
        command = [str(ROOT / "examples" / script), *arguments]
        self.programs.append(Process.start(name, command, log=self.folder / f"{name}.log"))

    def finish_programs(self) -> dict[str, dict[str, int]]:
        """Stop the programs and return what each printed last: how many it sent, how many were acknowledged."""
        results = {}
        for program in self.programs:
            program.stop()
            try:
                results[program.name] = json.loads(program.tail(1))
            except ValueError:
                raise ProcessError(f"{program.name} did not say what it sent:\n{program.tail()}") from None
        self.programs.clear()
        return results

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.programs:
            process.stop(GRACE)
        self.stop(GRACE)
