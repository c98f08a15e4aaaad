"""Programs that publish through a broker, and count a message as accepted when the broker has said so."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import paho.mqtt.client as paho
import pika
import pika.exceptions
import stomp.exception
from paho.mqtt.enums import CallbackAPIVersion

from localcloud.brokers import Broker
from tests.lab.sourcekills.programs import Program
from tests.sources.brokers import WAIT, ActiveMq
from tests.sources.stompclient import Sender

QUEUE: Final = "open.q"


class MqttProgram(Program):
    """QoS 1.

    Mosquitto acknowledges first and writes its file after it has served all connections once. So a message counts as accepted when the
    broker has acknowledged another one that was published after that.
    """

    chunk = 20
    topic = "a/b"

    def __init__(self, broker: Broker, *, size: int = 100) -> None:
        super().__init__(size=size)
        self._broker = broker

    def put(self, sender: int, texts: Sequence[str]) -> int:
        """See `Program`."""
        try:
            client = _Mqtt(self._broker.port)
        except (OSError, TimeoutError):
            return 0
        try:
            known = client.publish(self.topic, texts) == len(texts) and client.publish("other", ["a", "b"]) == 2
            return len(texts) if known else 0
        finally:
            client.close()


class _Mqtt:
    """A client that ends when its connection does."""

    def __init__(self, port: int) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        self._client.max_inflight_messages_set(1000)
        self._client.max_queued_messages_set(0)
        self._change, self._connected, self._lost, self._acknowledged = threading.Condition(), False, False, 0
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        with self._change:
            if not self._change.wait_for(lambda: self._connected or self._lost, WAIT) or self._lost:
                raise TimeoutError("no CONNACK")

    def publish(self, topic: str, texts: Sequence[str]) -> int:
        """Return how many were acknowledged."""
        self._acknowledged = 0
        for text in texts:
            self._client.publish(topic, text.encode(), qos=1)
        with self._change:
            self._change.wait_for(lambda: self._lost or self._acknowledged == len(texts), WAIT)
        return self._acknowledged

    def _on_connect(self, *_: object) -> None:
        with self._change:
            self._connected = True
            self._change.notify()

    def _on_disconnect(self, *_: object) -> None:
        with self._change:
            self._lost = True
            self._change.notify()

    def _on_publish(self, *_: object) -> None:
        with self._change:
            self._acknowledged += 1
            self._change.notify()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        del self._client  # paho closes its pair of sockets when it is garbage


class AmqpProgram(Program):
    """Persistent messages with publisher confirms."""

    chunk = 20

    def __init__(self, broker: Broker, *, size: int = 100) -> None:
        super().__init__(size=size)
        self._broker = broker
        with self._connect() as connection:
            connection.channel().queue_declare(QUEUE, durable=True)

    def _connect(self) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self._broker.port, heartbeat=0))

    def put(self, sender: int, texts: Sequence[str]) -> int:
        """See `Program`."""
        confirmed = 0
        try:
            with self._connect() as connection:
                channel = connection.channel()
                channel.confirm_delivery()
                for text in texts:
                    channel.basic_publish("", QUEUE, text.encode(), pika.BasicProperties(delivery_mode=2), mandatory=True)
                    confirmed += 1
        except (pika.exceptions.AMQPError, OSError):  # the broker has gone
            pass
        return confirmed

    def flood(self, count: int) -> None:
        """Send without confirms, as fast as it goes; return when the broker has read all."""
        texts = [f"0.{number}.1".ljust(self._size, "x") for number in range(1, count + 1)]
        with self._connect() as connection:
            channel = connection.channel()
            for text in texts:
                channel.basic_publish("", QUEUE, text.encode(), pika.BasicProperties(delivery_mode=2))
        self.sent, self.accepted = set(texts), texts


class StompProgram(Program):
    """Persistent messages with a receipt each."""

    chunk = 20

    def __init__(self, broker: ActiveMq, *, size: int = 100) -> None:
        super().__init__(size=size)
        self._broker = broker

    def put(self, sender: int, texts: Sequence[str]) -> int:
        """See `Program`."""
        try:
            client = _Stomp(self._broker)
        except (stomp.exception.StompException, OSError):
            return 0
        try:
            return client.put(texts)
        finally:
            client.end()


class _Stomp(Sender):
    """A sender that learns of the end of its connection."""

    def __init__(self, broker: ActiveMq) -> None:
        self._lost = False
        super().__init__(broker, {})

    def put(self, texts: Sequence[str]) -> int:
        """Return how many have their receipt, from the first on."""
        names = [f"p{number}" for number in range(len(texts))]
        self._waiting = set(names)
        try:
            for name, text in zip(names, texts, strict=True):
                self.connection.send(f"/queue/{QUEUE}", text.encode(), headers={"persistent": "true", "receipt": name})
        except stomp.exception.StompException:  # the broker has gone
            self._lost = True
        with self._change:
            self._change.wait_for(lambda: not self._waiting or self.errors or self._lost, WAIT)
            return next((number for number, name in enumerate(names) if name in self._waiting), len(names))

    def on_disconnected(self) -> None:
        with self._change:
            self._lost = True
            self._change.notify()

    def end(self) -> None:
        if not self._lost:
            self.connection.disconnect()
        self.connection.transport.stop()
        self.connection.transport.disconnect_socket()
