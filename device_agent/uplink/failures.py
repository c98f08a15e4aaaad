"""Failures: what the errors of libraries mean when no answer of AWS came, in the words of `verdicts`.

A proxy's refusal of CONNECT, a portal that speaks no TLS and a port where another program answers are not silence: something answers, and
waiting does not help. The libraries tell them apart only deep in their chain of causes, so that is walked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.client import BadStatusLine, RemoteDisconnected
from typing import Final

from botocore.exceptions import BotoCoreError, ConfigParseError, HTTPClientError, ProxyConnectionError, SSLError
from botocore.exceptions import ConnectionError as UnreachableError

from device_agent.redact import redact
from device_agent.uplink.verdicts import Cause, NotSent

#: http.client's words for a proxy's answer to CONNECT.
_TUNNEL: Final = re.compile(r"Tunnel connection failed: (\d{3}.*)", re.DOTALL)
#: Reasons of OpenSSL: the other side speaks, but no TLS.
_NO_TLS: Final = re.compile(
    r"WRONG_VERSION_NUMBER|HTTP_REQUEST|HTTPS_PROXY_REQUEST|UNKNOWN_PROTOCOL|PACKET_LENGTH_TOO_LONG|RECORD_LAYER_FAILURE"
)
#: Likewise: it went away in the middle.
_GONE: Final = re.compile(r"\bEOF\b|_EOF_|ZERO_RETURN|timed out|reset by peer", re.IGNORECASE)
#: What another program says in HTTP's place, and a proxy's own words, are shown up to this length.
_SHOWN: Final = 100


def words(error: BaseException) -> str:
    """Return what a library's error says, on one line and not too long.

    Of an error of a proxy only its cause: botocore hides a password in the proxy's URL by its text, which may stand there before.
    """
    if isinstance(error, ProxyConnectionError):
        error = error.kwargs.get("error", error)
    if isinstance(error, ConfigParseError):
        return f"{error.kwargs.get('path')} cannot be read; save it as plain UTF-8, without a byte order mark"
    return " ".join(redact(str(error)).split())[:300]


def failure(error: BotoCoreError, *, otherwise: Cause = Cause.UNKNOWN, where: str = "") -> NotSent:
    """Return the verdict on a request that brought no answer.

    Args:
        error: of botocore.
        otherwise: the cause where it is not about the connection.
        where: put before its words.
    """
    answered, cause = _answered(error)
    if not cause:
        cause = _cause(error, otherwise)
    text = f"something between here and AWS answers: {answered}" if answered else words(error)
    return NotSent(cause, f"{where}: {text}" if where else text)


def _answered(error: BaseException) -> tuple[str, Cause | None]:
    """Return what something else than AWS said, and what to think of it; nothing if nobody said anything."""
    for one in _chain(error):
        if isinstance(one, BadStatusLine) and not isinstance(one, RemoteDisconnected):
            return f"it speaks no HTTP ({_line(str(one))})", Cause.FOREIGN
        if tunnel := _TUNNEL.search(str(one)):
            return f"the proxy says {_line(tunnel[1])}", Cause.NETWORK if tunnel[1].startswith("5") else Cause.FOREIGN
    if isinstance(error, SSLError) and _NO_TLS.search(str(error)):
        return "it speaks no TLS", Cause.FOREIGN
    return "", None


def _cause(error: BotoCoreError, otherwise: Cause) -> Cause:
    if isinstance(error, SSLError):
        return Cause.NETWORK if _GONE.search(str(error)) else Cause.TLS
    if isinstance(error, ConfigParseError):
        return Cause.CREDENTIALS
    return Cause.NETWORK if isinstance(error, HTTPClientError | UnreachableError) else otherwise


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was made of: botocore, urllib3 and Python each keep that in another place."""
    todo, seen = [error], set()
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = (getattr(one, "kwargs", None) or {}).get("error")
        todo += [part for part in (inner, getattr(one, "reason", None), one.__cause__, *one.args) if isinstance(part, BaseException)]


def _line(text: str) -> str:
    line = " ".join("".join(one if one.isprintable() else " " for one in redact(text)).split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."
