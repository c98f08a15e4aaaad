"""Brokers: real ones on loopback, each with a private folder and port, started and stopped by whoever wants one for a while."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from localcloud.ports import free_ports

_WAIT = 120.0  # seconds for a broker to start or stop, on a very busy machine
_LOOK = 0.05


class MissingError(RuntimeError):
    """A broker is not installed; the text says how to install it."""


class Broker:
    """What all share: a process on a port of its own. A context manager."""

    #: The scheme of its URL.
    scheme = ""

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        """Start nothing yet; `port` 0: a free one."""
        self.folder = folder
        self.port = port or free_ports(1)[0]
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Write what it reads, and return how it is started."""
        raise NotImplementedError

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "log"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603  # no shell
        until = time.monotonic() + _WAIT
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{type(self).__name__} did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(_LOOK)

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it with a signal, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_WAIT)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Mosquitto(Broker):
    """Mosquitto, with sessions on disk."""

    scheme = "mqtt"

    def __init__(self, folder: Path, *, port: int = 0, **settings: str) -> None:
        """Take further `settings` of mosquitto.conf."""
        self._binary = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        if self._binary is None:
            raise MissingError("needs Mosquitto (apt install mosquitto)")
        super().__init__(folder, port=port)
        self.settings = settings

    def command(self) -> list[str]:
        """See `Broker`."""
        chosen = {
            "listener": f"{self.port} 127.0.0.1", "allow_anonymous": "true", "persistence": "true",
            "persistence_location": f"{self.folder}/", "autosave_interval": "1", "autosave_on_changes": "true",
            "user": "root", "max_queued_messages": "0", "log_type": "all",
        }  # fmt: skip
        chosen |= self.settings
        file = self.folder / "mosquitto.conf"
        file.write_text("".join(f"{key} {value}\n" for key, value in chosen.items()))
        return [str(self._binary), "-c", str(file)]


class Amqtt(Broker):
    """amqtt, in pure Python; MQTT 3.1.1 only, sessions in its memory."""

    scheme = "mqtt"

    def command(self) -> list[str]:
        """See `Broker`."""
        file = self.folder / "amqtt.yaml"
        file.write_text(
            f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{self.port}\n"
            "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
        )
        return [str(Path(sys.executable).with_name("amqtt")), "-c", str(file)]


def named(kind: str, folder: Path, *, port: int = 0) -> Broker:
    """Return a broker for a kind of input; Mosquitto where it is installed.

    Raises:
        MissingError: there is none on this machine.
    """
    if kind != "mqtt":
        raise MissingError(f"there is no broker for {kind}")
    try:
        return Mosquitto(folder, port=port)
    except MissingError:
        return Amqtt(folder, port=port)
