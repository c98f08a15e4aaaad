"""HTTP: the connections to AWS, with TLS that still works on a board that woke up in 1970.

Promises: chain and host name are always verified. The dates of certificates are verified too, except while the wall clock is before the
build date of this program (`ClockOffset.blind`), when they cannot be; as soon as the clock is set, everything is, on new connections.
What answers in AWS's place is told (`foreign`); only AWS's own `Date` is learned from. A connection that something on the way forgot is
noticed (`pools`). A request ends: its answer is read for at most `read_timeout` from its head on, and up to `LARGEST`.

How: botocore's own HTTP session, whose TLS context gets OpenSSL's X509_V_FLAG_NO_CHECK_TIME in the blind one of two. botocore is told to
use it by its `before-send` hook (`client`; for STS and SSO `credentials`), and the credentials provider of AWS IoT uses it directly. The
time-outs of sockets count from byte to byte, so the body is read here, a `recv` at a time, with a look at the clock in between; the
standard library bounds the head (100 lines of 64 KiB).
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, cast

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectionClosedError, HTTPClientError, ReadTimeoutError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from device_agent.config import UplinkConfig
from device_agent.uplink import foreign
from device_agent.uplink.clock_offset import ClockOffset
from device_agent.uplink.pools import BY_SCHEME, OPTIONS

#: openssl/x509_vfy.h; Python's `ssl` has no name for it. OpenSSL 1.1.0 and newer.
NO_CHECK_TIME: Final = 0x200000

#: Bytes of an answer at most; ten verdicts, or credentials, take some KiB.
LARGEST: Final = 1024 * 1024


class _Session(URLLib3Session):
    """A session with our pools."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # what pools are made of has these names in every botocore between 1.29 and 1.43; proxies' pools are made later, of the first
        self._pool_classes_by_scheme = BY_SCHEME
        self._manager.pool_classes_by_scheme = BY_SCHEME  # type: ignore[attr-defined]  # the stubs leave it out


class _BlindSession(_Session):
    """A session that verifies chain and host name, but not dates."""

    def _get_ssl_context(self) -> ssl.SSLContext:
        context: ssl.SSLContext = super()._get_ssl_context()  # type: ignore[misc]  # the stubs leave it out
        context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
        return context


class _Body:
    """What `AWSResponse` reads from: a body that is all here."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self) -> Iterator[bytes]:
        """Yield it."""
        yield self._data


class Http:
    """Two pools of connections, of which the clock decides which one is used. Safe from every thread."""

    def __init__(self, *, config: UplinkConfig, offset: ClockOffset, ca: str = "", client_cert: tuple[str, str] | None = None) -> None:
        self._config, self._offset, self._ca, self._client_cert = config, offset, ca, client_cert
        self._lock = threading.Lock()
        self._sessions: dict[tuple[bool, str], URLLib3Session] = {}

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        """Send a signed request and return AWS's whole answer; raises botocore's HTTP errors, and `NotSent` if something else answers."""
        request.stream_output = True  # it leaves the body to us
        answer = self._session(request.url).send(request)
        body = self._body(answer)
        whole = AWSResponse(answer.url, answer.status_code, cast("Any", answer.headers), _Body(body))
        foreign.check(whole)
        self._offset.learn(answer.headers.get("Date"))
        return whole

    def _body(self, answer: AWSResponse) -> bytes:
        """Read the body and give the connection back to its pool; an answer that was not read to its end closes it."""
        whole = False
        try:
            body = self._read(answer.raw._original_response, answer.url)  # http.client's; the same in urllib3 1.26 and 2
            whole = True
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=answer.url, error=error) from None
        except (OSError, HTTPException) as error:
            raise ConnectionClosedError(endpoint_url=answer.url, error=error) from None
        finally:
            if whole:
                answer.raw.release_conn()
            else:
                answer.raw.close()
        return body

    def _read(self, response: HTTPResponse, url: str) -> bytes:
        end, parts, size = time.monotonic() + self._config.read_timeout, [], 0
        while response.length != 0 and (part := response.read1(LARGEST)):
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                raise HTTPClientError(error=f"the answer of {url} has more than {LARGEST // 1024} KiB")
            if time.monotonic() > end:
                raise TimeoutError
        if response.length:
            raise ConnectionClosedError(endpoint_url=url)
        response.close()
        return b"".join(parts)

    def close(self) -> None:
        """Close idle connections; those in use are closed by their requests' end."""
        with self._lock:
            sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.close()

    def _session(self, url: str) -> URLLib3Session:
        blind = self._offset.blind
        host = url.split("/", 3)[2]
        with self._lock:
            session = self._sessions.get((blind, host))
            if session is None:
                session = self._sessions[blind, host] = self._make(_BlindSession if blind else _Session, url)
            stale = None if blind else self._sessions.pop((True, host), None)
        if stale is not None:
            stale.close()
        return session

    def _make(self, kind: Callable[..., URLLib3Session], url: str) -> URLLib3Session:
        verify: Any = (
            self._ca or os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE") or True
        )  # as botocore's clients do
        return kind(
            verify=verify,
            proxies=get_environ_proxies(url),
            timeout=(self._config.connect_timeout, self._config.read_timeout),
            max_pool_connections=self._config.senders + 1,
            socket_options=OPTIONS,
            client_cert=self._client_cert,
        )
