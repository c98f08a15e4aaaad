"""Real brokers on loopback, each with a private directory and port; stopped, killed and started again by the tests."""

from __future__ import annotations

import os
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


class RabbitMq:
    """RabbitMQ with an Erlang port mapper, a cookie and a data directory of its own; as the user who runs the tests."""

    _BIN = Path("/usr/lib/rabbitmq/bin")  # those of /usr/sbin change the user

    def __init__(self, folder: Path, *, advanced: str = "", **settings: str) -> None:
        """With `settings` of rabbitmq.conf, and with `advanced` ones of the application `rabbit` as Erlang has them."""
        if not (self._BIN / "rabbitmq-server").exists() or shutil.which("epmd") is None:
            pytest.skip("needs RabbitMQ (apt install rabbitmq-server)")
        self.folder = folder
        self.port, mapper, distribution = own_ports(3)
        self.url = f"amqp://127.0.0.1:{self.port}/%2f"
        self._advanced = advanced
        self._settings = {f"listeners.{'ssl' if 'ssl_options.certfile' in settings else 'tcp'}.1": f"127.0.0.1:{self.port}"} | settings
        self._environment = os.environ | {
            "HOME": str(folder), "ERL_EPMD_PORT": str(mapper), "ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_NODENAME": f"test{self.port}@localhost", "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"), "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"), "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1",
        }  # fmt: skip
        self._mapper: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        plain = {"listeners.tcp": "none"} if "listeners.ssl.1" in self._settings else {}
        chosen = {"log.console": "true", "log.console.level": "info", "log.file": "false"} | plain | self._settings
        (self.folder / "rabbitmq.conf").write_text("".join(f"{key} = {value}\n" for key, value in chosen.items()))
        (self.folder / "advanced.config").write_text(f"[{{rabbit, [{self._advanced}]}}].")
        (self.folder / "plugins").write_text("[].")
        with (self.folder / "log").open("ab") as log:
            if self._mapper is None:
                command = ["epmd", "-address", "127.0.0.1", "-port", self._environment["ERL_EPMD_PORT"]]
                self._mapper = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
            command = [str(self._BIN / "rabbitmq-server")]
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, start_new_session=True, cwd=self.folder
            )
        wait_for(self._answers, what="the broker")

    def _answers(self) -> bool:
        """Whether it speaks AMQP, or TLS: it greets who says something that is neither."""
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"GREETING")
                connection.settimeout(10)
                return bool(connection.recv(1))
        except OSError:
            return False

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl."""
        command = [str(self._BIN / "rabbitmqctl"), *arguments]
        return subprocess.run(command, env=self._environment, check=True, capture_output=True, text=True, timeout=WAIT).stdout

    def send(self, number: int) -> None:
        """Send a signal to it and to the shell that it runs in."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it as a service manager does, or at once with SIGKILL."""
        if self._process is not None:
            if self._process.poll() is None:
                self.send(number)
            self._process.wait(WAIT)
            self._process = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._mapper is not None:
            self._mapper.terminate()
            self._mapper.wait(WAIT)


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
