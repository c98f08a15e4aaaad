"""Connection to a STOMP broker: bytes out and frames in, without waiting, and the heart-beats of both sides.

Promises: `send`, `flush` and `receive` never block; `Connection` does for the time of connecting, and `leave` for the broker's receipt.
A broker that is silent for longer than it promised is noticed, and our own heart-beats go on whatever the disk does.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from typing import Final

from device_agent.config.sources import StompConfig
from device_agent.sources import tls
from device_agent.sources.port import Away, NotNow
from device_agent.sources.stomp.frames import BrokenError, Frame, Frames, encode
from device_agent.wire.limits import MIB

#: Bytes of a message that is kept in quarantine when it is too large for a reading. Of a larger one nothing is kept.
LARGEST: Final = 4 * MIB
_CONNECT: Final = 10.0  # seconds for TCP, and again for TLS
_CHUNK: Final = 64 * 1024  # bytes a read; more than a TLS record (16 KiB), so TLS never holds back what the socket does not show
_UNSENT: Final = 64 * 1024  # bytes of acknowledgements that the broker does not read, after which it is not read either
_PATIENCE: Final = 2.5  # promised intervals of silence until a broker is given up
_BYE: Final = "bye"


class Connection:
    """One connection; raises `NotNow` with a sentence from each method when it has ended."""

    def __init__(self, settings: StompConfig, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Connect."""
        self._url, self._monotonic = settings.url, monotonic
        self._frames = Frames(largest=max(LARGEST, settings.max_reading))
        self._unsent = bytearray()
        self._version = ""  # until the broker has said one
        self._ours = self._theirs = 0.0  # seconds between heart-beats; 0: none
        self._sent = self._heard = monotonic()
        self._socket = _connect(settings)

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._socket.fileno()

    # Frames

    def agree(self, version: str, *, ours: float, theirs: float) -> None:
        """Note what the broker has answered to CONNECT: the version, and the seconds between heart-beats of each side (0: none)."""
        self._version, self._ours, self._theirs = version, ours, theirs

    def send(self, command: str, **headers: str) -> None:
        """Queue a frame; `flush` sends it. A `_` in a name of a header stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._unsent += encode(command, named, version=self._version)

    def next(self) -> Frame | None:
        """Return a frame that `receive` has completed."""
        try:
            return self._frames.next()
        except BrokenError as error:
            raise NotNow(f"{self._url} {error}; is it a STOMP broker, and the port right?") from None

    def receive(self) -> None:
        """Read what is there, once. Only after `next` has returned None."""
        try:
            data = self._socket.recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            raise self._ended(error) from None
        if not data:
            raise NotNow(f"{self._url} has ended the connection; does it run, and do its logs say why?")
        self._heard = self._monotonic()
        self._frames.feed(data)

    # Time and writing

    @property
    def unsent(self) -> bool:
        """Whether it is to be waited for until the socket can be written to."""
        return bool(self._unsent)

    @property
    def clogged(self) -> bool:
        """Whether the broker does not read, so that nothing more must be answered."""
        return len(self._unsent) > _UNSENT

    def flush(self) -> None:
        """Send what can be sent now, and a heart-beat when it is due."""
        now = self._monotonic()
        if self._ours and not self._unsent and now >= self._sent + self._ours / 2:
            self._unsent += b"\n"
        if not self._unsent:
            return
        try:
            count = self._socket.send(self._unsent)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            raise self._ended(error) from None
        del self._unsent[:count]
        self._sent = now

    def rest(self, *, reading: bool) -> float | None:
        """Return the seconds until `flush` or this must be called again; None: no limit. Raises `NotNow` if the broker is silent.

        Args:
            reading: whether the broker is listened to at all, else it may have said something.
        """
        now = self._monotonic()
        limits = [self._sent + self._ours / 2 - now] if self._ours and not self._unsent else []
        if not reading:
            self._heard = now
        if self._theirs:
            left = self._heard + _PATIENCE * self._theirs - now
            if left <= 0:
                raise NotNow(
                    f"{self._url} has said nothing for {now - self._heard:.0f} s, though it promised heart-beats; connecting again"
                )
            limits.append(left)
        return max(0.0, min(limits)) if limits else None

    def leave(self, seconds: float) -> None:
        """Say good-bye, and wait until the broker has all that was sent before: the end of a socket may overtake it."""
        self.send("DISCONNECT", receipt=_BYE)
        until = self._monotonic() + seconds
        lost = NotNow(f"{self._url} did not confirm the last acknowledgements; what it sends again then is a second reading")
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(self._unsent)
            while (left := until - self._monotonic()) > 0:
                while (frame := self.next()) is not None:
                    if frame.command == "RECEIPT" and frame.headers.get("receipt-id") == _BYE:
                        return
                self._socket.settimeout(left)
                self.receive()
        except OSError:
            raise lost from None
        raise lost

    def _ended(self, error: OSError) -> NotNow:
        return NotNow(f"{self._url} has ended the connection: {error.strerror or error}")


def _connect(settings: StompConfig) -> socket.socket:
    context = tls.client(settings) if settings.tls else None
    try:
        made = socket.create_connection(settings.address, timeout=_CONNECT)
    except (OSError, ValueError) as error:  # ValueError: of a host name that cannot be one
        said = getattr(error, "strerror", None) or str(error)
        raise Away(f"{settings.url} does not answer: {said}; is the broker running, and the address right?") from None
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            made = context.wrap_socket(made, server_hostname=settings.address[0])
        made.setblocking(False)
    except ssl.SSLError as error:
        made.close()
        raise tls.distrust(error, settings.url) from None
    except OSError as error:
        made.close()
        raise NotNow(f"{settings.url} does not answer: {error.strerror or error}; does it speak TLS on this port?") from None
    return made
