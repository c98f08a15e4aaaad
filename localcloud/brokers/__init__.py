"""Brokers: real ones on loopback, each with a private folder and port, for the demo, the patterns, tests and benchmarks."""

from __future__ import annotations

from pathlib import Path

from localcloud.brokers.activemq import ActiveMq
from localcloud.brokers.broker import Broker, MissingError
from localcloud.brokers.mqtt import Amqtt, Mosquitto
from localcloud.brokers.rabbitmq import RabbitMq

__all__ = ["ActiveMq", "Amqtt", "Broker", "MissingError", "Mosquitto", "RabbitMq", "named"]


def named(kind: str, folder: Path, *, port: int = 0) -> Broker:
    """Return the broker of a kind of input: `mqtt` (Mosquitto where it is installed), `amqp` or `stomp`.

    Raises:
        MissingError: it is not on this machine.
    """
    if kind == "amqp":
        return RabbitMq(folder, port=port)
    if kind == "stomp":
        return ActiveMq(folder, port=port)
    try:
        return Mosquitto(folder, port=port)
    except MissingError:
        return Amqtt(folder, port=port)
