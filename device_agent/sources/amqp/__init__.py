"""AMQP 0-9-1: pika's connection over a loop that waits with the courier, and the source over it."""

from device_agent.sources.amqp.source import Amqp

__all__ = ["Amqp"]
