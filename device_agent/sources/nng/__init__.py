"""nanomsg and NNG: their sockets, and the source over them."""

from device_agent.sources.nng.source import make

__all__ = ["make"]
