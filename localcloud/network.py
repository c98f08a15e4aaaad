"""Channel: the network between devices and the local cloud, as a TCP proxy on loopback that can be cut.

Promises: `cut` resets every live connection (a real RST) and from then on new ones are refused, at the same port; `restore` brings
it back. The port is held in between, so nobody else can take it. What was in flight at the cut may or may not have arrived,
exactly as on a real network: this is what makes it a test of the agent.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUFFER = 64 * 1024
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 s: close sends RST."""


@dataclasses.dataclass(eq=False)
class _Pair:
    """A connection through the proxy: the device's end and the cloud's."""

    device: socket.socket
    cloud: socket.socket
    directions: int = 2
    """How many still carry bytes."""


class Network:
    """One listening port in front of `upstream_port`; threads: one that accepts, two a connection."""

    def __init__(self, *, upstream_port: int) -> None:
        self._upstream = ("127.0.0.1", upstream_port)
        self._lock = threading.Lock()
        self._live: set[_Pair] = set()
        self._port = 0
        self._reserved: socket.socket | None = None
        self._listener: socket.socket | None = None
        self._open()

    @property
    def port(self) -> int:
        """The port that devices are pointed at."""
        return self._port

    @property
    def is_up(self) -> bool:
        """Whether it lets connections through."""
        return self._listener is not None

    def cut(self) -> None:
        """Reset what is connected, refuse what comes. Does nothing when cut already."""
        with self._lock:
            if self._listener is None:
                return
            listener, self._listener = self._listener, None
            live, self._live = self._live, set()
            _shut(listener)
            self._reserved = _bound(self._port)  # bound and not listening: the kernel refuses
        for pair in live:
            _reset(pair.device)
            _reset(pair.cloud)

    def restore(self) -> None:
        """Let connections through again. Does nothing when it is up."""
        with self._lock:
            if self._listener is None:
                self._open()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Cut for the time of the `with` block."""
        self.cut()
        try:
            yield
        finally:
            self.restore()

    def close(self) -> None:
        """Cut for good and give the port back."""
        self.cut()
        with self._lock:
            if self._reserved is not None:
                self._reserved.close()
                self._reserved = None

    def _open(self) -> None:
        listener = self._reserved or _bound(self._port)
        self._reserved = None
        listener.listen(128)
        self._port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="network-accept", daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                device, _ = listener.accept()
            except OSError:
                return  # the listener was closed by `cut`
            try:
                cloud = socket.create_connection(self._upstream, timeout=10)
            except OSError:
                _reset(device)
                continue
            cloud.settimeout(None)
            for connection in (device, cloud):  # before `cut` knows of them: it may close them at any time from then on
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if self._listener is not listener:
                    _reset(device)
                    _reset(cloud)
                    return
                pair = _Pair(device, cloud)
                self._live.add(pair)
            for source, sink in ((device, cloud), (cloud, device)):
                threading.Thread(target=self._pump, args=(pair, source, sink), name="network-pump", daemon=True).start()

    def _pump(self, pair: _Pair, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(_BUFFER):
                sink.sendall(data)
            with self._lock:
                if pair in self._live:  # else `cut` has it: what reaches the other side is the reset, and no orderly end before it
                    sink.shutdown(socket.SHUT_WR)
        except OSError:
            _reset(sink)  # the other side must learn of it; `cut` has done so already
        finally:
            self._retire(pair)

    def _retire(self, pair: _Pair) -> None:
        """Close a pair when its second direction ends; what `cut` has taken it resets, and closes, itself."""
        with self._lock:
            pair.directions -= 1
            if pair.directions or pair not in self._live:
                return
            self._live.discard(pair)
        pair.device.close()
        pair.cloud.close()


def _bound(port: int) -> socket.socket:
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", port))
    return held


def _shut(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept; close alone would not
    listener.close()


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.shutdown(socket.SHUT_RD)  # wakes the pump that reads it, without a FIN to the other side
    connection.close()
