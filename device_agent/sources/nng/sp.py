"""Sockets of NNG, which speak the Scalability Protocols of nanomsg, and requests that are answered in any order.

Promises: what cannot be opened is a `NotNow` that says what to do. A larger message than `LARGEST` ends its connection (NNG tells nobody),
so a connection costs that much memory at most. A socket that is closed leaves no thread and no descriptor; NNG's own pool of threads
begins with the first socket of a process and stays.
"""

from __future__ import annotations

from collections import Counter, deque
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pynng
from pynng import ffi, lib

from device_agent.config.sources import NngConfig
from device_agent.errors import NotNow
from device_agent.sources import secret
from device_agent.wire.limits import MAX_READING

#: Bytes. What is above `max_reading` and not above this is refused with a reason, or set aside.
LARGEST: Final = 2 * MAX_READING
_REDIAL: Final = (100, 5000)  # milliseconds between attempts to connect, at first and at most
_GROUP: Final = 0o660  # of the file of an ipc endpoint: owner and group may connect
_ANSWER: Final = 10_000  # milliseconds until an answer that its peer does not read is given up
_untouched: Final = ffi.new_allocator(should_clear_after_alloc=False)  # memory that is not used is not taken
_NEXT: Final = 1  # milliseconds until there is no next message
_UNREAD: Final = 1000  # answers at most that peers have not read
_HINTS: Final = {
    lib.NNG_EADDRINUSE: "another program listens there; stop it, or choose another endpoint",
    lib.NNG_EADDRINVAL: "this machine has no such address; write one that `ip address` shows",
    lib.NNG_ENOENT: "there is no such directory; make it",
    lib.NNG_EPERM: "this user may not; choose a port above 1023, or another directory",
}


def prepare(socket: Any, settings: NngConfig) -> None:
    """Set the limits of a new socket."""
    socket.recv_max_size = LARGEST
    socket.reconnect_time_min, socket.reconnect_time_max = _REDIAL

    def admit(pipe: Any) -> None:  # in a thread of NNG's
        if len(socket.pipes) > settings.max_connections:
            pipe.close()

    socket.add_pre_pipe_connect_cb(admit)


def listen(socket: Any, endpoint: str, settings: NngConfig) -> str:
    """Listen, and return the endpoint with the port that it has. Raises `NotNow`."""
    transport, _, rest = endpoint.partition("://")
    tls = _server(settings) if transport == "tls+tcp" else None
    url = f"{transport}://{rest.removesuffix(':*')}:0" if rest.endswith(":*") else endpoint
    made = ffi.new("nng_listener *")
    try:
        pynng.check_err(lib.nng_listener_create(made, socket.socket, url.encode()))
        listener = pynng.Listener(made, socket)
        if tls is not None:
            listener.tls_config = tls
        if transport == "ipc":
            pynng.check_err(lib.nng_listener_set_int(made[0], b"ipc:permissions", _GROUP))
        pynng.check_err(lib.nng_listener_start(made[0], 0))
    except pynng.NNGException as error:
        raise NotNow(cannot_listen(endpoint, error.errno, str(error))) from None
    return f"{transport}://{listener.local_address}" if url != endpoint else endpoint


def cannot_listen(endpoint: str, code: int | None, otherwise: str) -> str:
    """Return what to say of an endpoint that cannot be had, for an error of NNG's; `otherwise` where there is no advice."""
    return f"cannot listen on {endpoint}: {_HINTS.get(code, otherwise)}"


def check_tls(settings: NngConfig) -> None:
    """Raise `NotNow` if the files of TLS cannot be used."""
    if any(endpoint.startswith("tls+tcp") for endpoint in settings.bind):
        _server(settings)
    for endpoint in settings.connect:
        if endpoint.startswith("tls+tcp"):
            _client(settings, endpoint)


def dial(socket: Any, endpoint: str, settings: NngConfig) -> str:
    """Begin to connect, again and again until it succeeds; return how NNG writes the endpoint. Raises `NotNow`."""
    made = ffi.new("nng_dialer *")
    tls = _client(settings, endpoint) if endpoint.startswith("tls+tcp") else None
    try:
        pynng.check_err(lib.nng_dialer_create(made, socket.socket, endpoint.encode()))
        dialer = pynng.Dialer(made, socket)
        if tls is not None:
            dialer.tls_config = tls
        pynng.check_err(lib.nng_dialer_start(made[0], lib.NNG_FLAG_NONBLOCK))
    except pynng.NNGException as error:
        raise NotNow(f"cannot connect to {endpoint}: {error}") from None
    return str(dialer.url)


def _server(settings: NngConfig) -> Any:
    ask = bool(settings.client_ca)
    mode = pynng.TLSConfig.AUTH_MODE_REQUIRED if ask else pynng.TLSConfig.AUTH_MODE_NONE
    return _tls(pynng.TLSConfig.MODE_SERVER, settings, auth_mode=mode, ca_files=settings.client_ca or None)


def _client(settings: NngConfig, endpoint: str) -> Any:
    return _tls(
        pynng.TLSConfig.MODE_CLIENT, settings, auth_mode=pynng.TLSConfig.AUTH_MODE_REQUIRED, ca_files=settings.ca,
        server_name=urlsplit(endpoint).hostname,
    )  # fmt: skip


def _tls(mode: Any, settings: NngConfig, **given: Any) -> Any:
    own: dict[str, str] = {}
    if settings.private_key:
        secret.check(settings.private_key, what="private_key")
    try:
        if settings.certificate:
            own["own_cert_string"] = Path(settings.certificate).read_text(encoding="ascii")
            own["own_key_string"] = Path(settings.private_key).read_text(encoding="ascii")
        return pynng.TLSConfig(mode, **own, **given)
    except (OSError, UnicodeDecodeError, pynng.NNGException) as error:
        raise NotNow(f"certificate, private_key, ca or client_ca cannot be used: {getattr(error, 'strerror', None) or error}") from None


class Inbox:
    """Messages of a socket; pynng's own `recv` fails for one without bytes."""

    def __init__(self, socket: Any) -> None:
        """Read from `socket`."""
        self._socket, self._message = socket, ffi.new("nng_msg **")

    def take(self) -> tuple[bytes, Any] | None:
        """Return a message's bytes and the pipe it came by; None: there is none now."""
        failed = lib.nng_recvmsg(self._socket.socket, self._message, lib.NNG_FLAG_NONBLOCK)
        return None if _empty(failed) else _unpack(self._message[0])


class Bytes:
    """The bytes of a socket's messages, in one call each: every call gives the interpreter lock away, and has to get it back."""

    def __init__(self, socket: Any) -> None:
        """Read from `socket`, whose `recv_max_size` is `LARGEST`."""
        self._socket, self._size = socket, ffi.new("size_t *")
        socket.recv_timeout = _NEXT
        self._buffer = _untouched("char []", LARGEST)

    def take(self) -> bytes | None:
        """Return a message's bytes; None: none comes within `_NEXT`. NNG hands over one at a time, and the next soon after."""
        self._size[0] = LARGEST
        if _empty(lib.nng_recv(self._socket.socket, self._buffer, self._size, 0)):
            return None
        return bytes(ffi.buffer(self._buffer, self._size[0]))


def _empty(failed: int) -> bool:
    """Whether nothing is there: no message, or no survey that one could belong to (any more). Raises `pynng.NNGException`."""
    if failed in {0, lib.NNG_EAGAIN, lib.NNG_ESTATE, lib.NNG_ETIMEDOUT}:
        return failed != 0
    pynng.check_err(failed)
    return False


def _unpack(message: Any) -> tuple[bytes, Any]:
    """Return what a message holds, and free it."""
    size = lib.nng_msg_len(message)
    payload = ffi.unpack(ffi.cast("char *", lib.nng_msg_body(message)), size) if size else b""
    pipe = lib.nng_msg_get_pipe(message)
    lib.nng_msg_free(message)
    return payload, pipe


class Request:
    """One that a peer waits for the answer of."""

    __slots__ = ("aio", "context", "pipe")

    def __init__(self, socket: Any) -> None:
        """Make what can hold one."""
        context, aio = ffi.new("nng_ctx *"), ffi.new("nng_aio **")
        pynng.check_err(lib.nng_ctx_open(context, socket.socket))
        pynng.check_err(lib.nng_aio_alloc(aio, ffi.NULL, ffi.NULL))
        self.context, self.aio = context[0], aio[0]
        self.pipe: Any = None  # whose it is
        lib.nng_aio_set_timeout(self.aio, _ANSWER)

    def answer(self, text: bytes) -> None:
        """Begin to send; where the peer has gone, nobody gets it."""
        message = ffi.new("nng_msg **")
        pynng.check_err(lib.nng_msg_alloc(message, 0))
        pynng.check_err(lib.nng_msg_append(message[0], text, len(text)))
        lib.nng_aio_set_msg(self.aio, message[0])
        lib.nng_ctx_send(self.context, self.aio)

    @property
    def over(self) -> bool:
        """Whether the answer is on its way, or given up."""
        if lib.nng_aio_busy(self.aio):
            return False
        if lib.nng_aio_result(self.aio):
            lib.nng_msg_free(lib.nng_aio_get_msg(self.aio))  # ours again
        return True

    def close(self) -> None:
        """Forget it."""
        lib.nng_ctx_close(self.context)
        lib.nng_aio_free(self.aio)  # waits for its end


class Desk:
    """The requests of a REP socket.

    Each has a context of NNG's, so any may be answered first; none waits for a peer that does not read its answer. Who has most of
    `_UNREAD` answers unread is cut off.
    """

    def __init__(self, socket: Any, window: int) -> None:
        """Hold `window` requests at most that wait for their answer."""
        self._socket, self._most = socket, window + _UNREAD
        self._all: list[Request] = []
        self._free: deque[Request] = deque()
        self._sending: deque[Request] = deque()
        self._message = ffi.new("nng_msg **")

    def take(self) -> tuple[Request, bytes] | None:
        """Return a request and its bytes; None: there is none now."""
        if not self._free:
            self.look()
        request = self._free.popleft() if self._free else self._make()
        if request is None:
            return None
        if _empty(lib.nng_ctx_recvmsg(request.context, self._message, lib.NNG_FLAG_NONBLOCK)):
            self._free.appendleft(request)
            return None
        payload, request.pipe = _unpack(self._message[0])
        return request, payload

    def answer(self, request: Request, text: bytes) -> None:
        """Answer it."""
        request.answer(text)
        (self._free if request.over else self._sending).append(request)

    def look(self) -> int:
        """See which answers have gone, and return how many have not."""
        for _ in range(len(self._sending)):
            request = self._sending.popleft()
            (self._free if request.over else self._sending).append(request)
        return len(self._sending)

    def close(self) -> None:
        """Forget all; before the socket is closed."""
        for request in self._all:
            request.close()

    def _make(self) -> Request | None:
        if len(self._all) < self._most:
            self._all.append(Request(self._socket))
            return self._all[-1]
        unread = Counter(lib.nng_pipe_id(request.pipe) for request in self._sending)
        worst = unread.most_common(1)[0][0] if unread else 0
        for request in self._sending:
            if lib.nng_pipe_id(request.pipe) == worst:
                lib.nng_pipe_close(request.pipe)
                break
        return None
