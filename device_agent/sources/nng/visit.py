"""Visit to the other sides of an `nng` input for `device-agent check --online`, without a socket of NNG's.

Promises: no message is taken or lost. PUSH, PUB and REQ send at once to a socket of NNG's that listens or connects. So an address to
listen on is bound for a moment only, and a program to connect to is not answered: its greeting is read (8 bytes that name its protocol),
and without ours it has no peer.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from pynng import lib

from device_agent.config.sources import NngConfig
from device_agent.sources import listening, tls
from device_agent.sources.nng import sp
from device_agent.sources.port import Away, NotNow, Taken

_PATIENCE: Final = 5.0  # seconds to connect, and again for the greeting
_GREETING: Final = 8  # bytes: NUL, "SP", version 0, the protocol in two bytes, two of zero
_HEAD: Final = b"\0SP\0"
#: The other side of each pattern, by the number of its protocol (nanomsg's RFCs, and nng/protocol/*.h).
_OTHER: Final = {"pull": (80, "PUSH"), "sub": (32, "PUB"), "rep": (48, "REQ"), "surveyor": (99, "RESPONDENT")}
_AS_NNG: Final = {
    errno.EADDRINUSE: lib.NNG_EADDRINUSE,
    errno.EADDRNOTAVAIL: lib.NNG_EADDRINVAL,
    errno.ENOENT: lib.NNG_ENOENT,
    errno.EACCES: lib.NNG_EPERM,
    errno.EPERM: lib.NNG_EPERM,
}


def look(settings: NngConfig) -> str:
    """Return what is there. Raises `NotNow`."""
    sp.check_tls(settings)
    for endpoint in settings.bind:
        _try_to_listen(endpoint)
    said = [f"can listen on {', '.join(settings.bind)} (not tried: a message)"] if settings.bind else []
    if settings.connect:
        with ThreadPoolExecutor(len(settings.connect)) as pool:
            said += pool.map(lambda endpoint: _greet(endpoint, settings), settings.connect)
    return "; ".join(said)


def _try_to_listen(endpoint: str) -> None:
    transport, _, rest = endpoint.partition("://")
    try:
        if transport == "ipc":
            _try_path(rest)
            return
        host, port = rest.partition("/")[0].rsplit(":", 1)
        listening.bind("" if host == "*" else host, 0 if port == "*" else int(port), socket.SOCK_STREAM).close()
    except OSError as error:
        code = lib.NNG_EADDRINVAL if isinstance(error, socket.gaierror) else _AS_NNG.get(error.errno or 0)
        kind = Taken if error.errno == errno.EADDRINUSE else NotNow
        raise kind(sp.cannot_listen(endpoint, code, error.strerror or str(error))) from None


def _try_path(path: str) -> None:
    """Raise OSError if a socket cannot be made there."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as trial:
        if trial.connect_ex(path) in {0, errno.EAGAIN}:  # EAGAIN: somebody listens, and is busy
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _greet(endpoint: str, settings: NngConfig) -> str:
    """Return who is there. Raises `NotNow`."""
    transport, _, rest = endpoint.partition("://")
    try:
        with _connect(transport, rest, settings) as connection:
            if transport == "ws":
                return f"{endpoint} takes connections (not tried: what it speaks)"
            greeting = connection.recv(_GREETING, 0 if transport == "tls+tcp" else socket.MSG_WAITALL)
    except ssl.SSLError as error:
        raise tls.distrust(error, endpoint) from None
    except TimeoutError:
        raise NotNow(f"{endpoint} takes connections, but says nothing; does it speak the protocols of nanomsg and NNG?") from None
    except OSError as error:
        raise Away(f"{endpoint} does not answer; is the program running, and the address right? ({error.strerror or error})") from None
    number, name = _OTHER[settings.pattern]
    if len(greeting) < _GREETING or not greeting.startswith(_HEAD):
        raise NotNow(f"{endpoint} does not speak the protocols of nanomsg and NNG; is it the right port?")
    if int.from_bytes(greeting[4:6], "big") != number:
        raise NotNow(f"{endpoint} is no {name}, which a {settings.pattern} input connects to; correct pattern or connect")
    return f"{endpoint} answers as {name}"


def _connect(transport: str, rest: str, settings: NngConfig) -> socket.socket:
    if transport == "ipc":
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(_PATIENCE)
        try:
            made.connect(rest)
        except OSError:
            made.close()
            raise
        return made
    host, port = rest.partition("/")[0].rsplit(":", 1)
    made = socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE)
    if transport != "tls+tcp":
        return made
    try:
        return tls.client(settings).wrap_socket(made, server_hostname=host.strip("[]"))
    except OSError:
        made.close()
        raise
