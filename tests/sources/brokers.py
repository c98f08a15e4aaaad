"""The brokers of localcloud for the tests; and programs that publish."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from localcloud import brokers
from localcloud.brokers import Broker, RabbitMq, broker
from localcloud.brokers.mqtt import Mosquitto
from tests.lab.agent import wait_for
from tests.lab.ports import own_ports

__all__ = ["ActiveMq", "Amqtt", "Mosquitto", "Publisher", "RabbitMq", "RabbitStomp", "publisher"]

WAIT = 120.0
broker.find_ports = own_ports  # so that one that is stopped finds its port free again


class Amqtt(brokers.Amqtt):
    """amqtt ends also the new connection of a client that comes back before its last one is seen to end."""

    def wait_for_connections(self, number: int) -> None:
        """Wait until the broker has `number` connections."""
        wait_for(lambda: re.findall(r"(\d+)/\S+ connections acquired", self.log.read_text())[-1:] == [str(number)], what="the connections")


class ActiveMq(brokers.ActiveMq):
    """What a STOMP program must know of it."""

    everything = ">"  # stands for all further words in the name of a topic


class RabbitStomp(RabbitMq):
    """RabbitMQ with its STOMP plugin, and nothing else."""

    scheme = "stomp"
    everything = "#"

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        settings = {"stomp.default_user": "guest", "stomp.default_pass": "guest", "stomp.implicit_connect": "false"}
        super().__init__(folder, port=port, plugins=("rabbitmq_stomp",), **settings)

    @property
    def url(self) -> str:
        return f"stomp://127.0.0.1:{self.port}"

    def listener(self) -> dict[str, str]:
        return {"listeners.tcp": "none", "stomp.listeners.tcp.1": f"127.0.0.1:{self.port}"}

    def answers(self) -> bool:
        return self.says(b"CONNECT\naccept-version:1.2\nhost:/\n\n\0", start=b"CONNECTED")


@contextmanager
def publisher(server: Broker, *, ca: str = "", certificate: str = "", private_key: str = "") -> Iterator[Publisher]:
    """A client that publishes, connected; with `ca` over TLS."""
    made = Publisher(server, tls=(ca, certificate, private_key) if ca else None)
    try:
        yield made
    finally:
        made.close()


class Publisher:
    """An ordinary program with paho's usual thread."""

    def __init__(self, broker: Broker, *, tls: tuple[str, str, str] | None = None) -> None:
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
