"""STOMP: frames, the connection that carries them, and the source over it."""

from device_agent.sources.stomp.source import Stomp

__all__ = ["Stomp"]
