"""Real brokers on loopback, each with a private directory and port; stopped, killed and started again by the tests."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.lab.agent import wait_for
from tests.lab.ports import own_ports

WAIT = 120.0


class MqttBroker:
    """What the brokers share: a process on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = own_ports(1)[0]
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        wait_for(self._answers, what="the broker")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(WAIT)
            self._process = None

    def wait_for_connections(self, number: int) -> None:
        """Wait until the broker has `number` connections; at once where a client may come back before its last one is seen to end."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Mosquitto(MqttBroker):
    """Mosquitto, with sessions on disk."""

    def __init__(self, folder: Path, **settings: str) -> None:
        if shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin") is None:
            pytest.skip("needs Mosquitto (apt install mosquitto)")
        super().__init__(folder)
        self.settings = settings

    def command(self) -> list[str]:
        chosen = {
            "listener": f"{self.port} 127.0.0.1", "allow_anonymous": "true", "persistence": "true",
            "persistence_location": f"{self.folder}/", "autosave_interval": "1", "autosave_on_changes": "true",
            "user": "root", "max_queued_messages": "0", "log_type": "all",
        }  # fmt: skip
        chosen |= self.settings
        file = self.folder / "mosquitto.conf"
        file.write_text("".join(f"{key} {value}\n" for key, value in chosen.items()))
        return ["/usr/sbin/mosquitto", "-c", str(file)]


class Amqtt(MqttBroker):
    """amqtt, in pure Python; sessions in its memory."""

    def command(self) -> list[str]:
        file = self.folder / "amqtt.yaml"
        file.write_text(
            f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{self.port}\n"
            "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
        )
        return [str(Path(sys.executable).with_name("amqtt")), "-c", str(file)]

    def wait_for_connections(self, number: int) -> None:
        """See `MqttBroker`. Of a client that comes back earlier, amqtt ends the new connection, too, and forgets what it owes."""
        log = self.folder / "log"
        wait_for(lambda: re.findall(r"(\d+)/\S+ connections acquired", log.read_text())[-1:] == [str(number)], what="the connections")


@contextmanager
def publisher(broker: MqttBroker, *, ca: str = "", certificate: str = "", private_key: str = "") -> Iterator[Publisher]:
    """A client that publishes, connected; with `ca` over TLS."""
    made = Publisher(broker, tls=(ca, certificate, private_key) if ca else None)
    try:
        yield made
    finally:
        made.close()


class Publisher:
    """An ordinary program with paho's usual thread."""

    def __init__(self, broker: MqttBroker, *, tls: tuple[str, str, str] | None = None) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.max_inflight_messages_set(1000)
        self._client.max_queued_messages_set(0)
        if tls is not None:
            self._client.tls_set(*tls)
        connected = threading.Event()
        self._client.on_connect = lambda *_: connected.set()
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert connected.wait(WAIT)

    def send(self, *payloads: bytes, topic: str = "a/b", qos: int = 1) -> None:
        """Publish, and wait until the broker has each."""
        sent = [self._client.publish(topic, payload, qos=qos) for payload in payloads]
        for one in sent:
            one.wait_for_publish(WAIT)
            assert one.is_published()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        del self._client  # paho closes its pair of sockets when it is garbage
