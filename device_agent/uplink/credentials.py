"""Credentials: from boto3's own chain, or from the AWS IoT credentials provider with the device's X.509 certificate.

Promises: asking is cheap while they are valid; what cannot be had is `NotSent`, never an end; after SQS refused them (`forget`) they are
looked up afresh, so that a rotated file or a new role is taken up without a restart. Credentials that are still valid are used on while
the provider is unreachable. Expiry is judged by the corrected clock, since a board's own may be wrong. No secret is ever logged.

AWS IoT: GET https://<prefix>.credentials.iot.<region>.amazonaws.com/role-aliases/<alias>/credentials with mutual TLS, and the thing's name
in `x-amzn-iot-thingname` (AWS IoT Core developer guide, "Authorizing direct calls to AWS services").
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol, cast

import boto3.session
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from device_agent.config import AwsConfig, IotConfig
from device_agent.descriptors import SHORT
from device_agent.errors import ConfigError
from device_agent.redact import path as shown
from device_agent.secretfile import exposed
from device_agent.uplink.clock_offset import ClockOffset
from device_agent.uplink.failures import failure, words
from device_agent.uplink.http import Http
from device_agent.uplink.verdicts import Cause, NotSent

#: Credentials are renewed when less than this share of their life is left ...
_RENEW_SHARE: Final = 0.2
#: ... but not used in their last seconds: the request takes a while.
_LAST_SECONDS: Final = 30.0
#: A failed renewal of credentials that are still valid is tried again after this; seconds.
_RETRY: Final = 30.0


class Credentials(Protocol):
    """Where signatures get their key from. Safe from every thread."""

    def get(self) -> ReadOnlyCredentials:
        """Return valid credentials; raises `NotSent` if there are none now."""

    def forget(self) -> None:
        """SQS refused them: look them up afresh next time."""


class ChainCredentials:
    """boto3's chain: environment, shared files, STS, SSO, container, instance metadata."""

    def __init__(self, aws: AwsConfig, *, http: Http) -> None:
        """Look nothing up yet; what the chain asks of STS and SSO goes over `http`."""
        self._profile, self._http = aws.profile or None, http
        self._lock = threading.Lock()
        self._found: Any = None

    def get(self) -> ReadOnlyCredentials:
        """Ask the chain; the first time this may take seconds (instance metadata)."""
        try:
            with self._lock:
                if self._found is None:
                    session = boto3.session.Session(profile_name=self._profile)
                    session.events.register("before-send", cast("Any", self._send))  # the stubs do not know that it may answer
                    self._found = session.get_credentials()
                found = self._found
            if found is None:
                raise NotSent(Cause.CREDENTIALS, "no AWS credentials found in boto3's chain (environment, shared files, metadata)")
            frozen: ReadOnlyCredentials = found.get_frozen_credentials()
        except ResponseParserError as error:
            raise NotSent(Cause.FOREIGN, f"AWS credentials: {words(error)}") from None
        except BotoCoreError as error:
            raise failure(error, otherwise=Cause.CREDENTIALS, where="AWS credentials") from None
        except ClientError as error:  # of STS or SSO
            raise NotSent(Cause.CREDENTIALS, f"AWS credentials: {words(error)}") from None
        return frozen

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        return self._http.send(request)

    def forget(self) -> None:
        """Drop what was found."""
        with self._lock:
            self._found = None


@dataclass(frozen=True, slots=True)
class _Lease:
    keys: ReadOnlyCredentials
    renew: float  # seconds since 1970
    expires: float


class IotCredentials:
    """The AWS IoT credentials provider."""

    def __init__(self, iot: IotConfig, *, http: Http, offset: ClockOffset) -> None:
        check_files(iot)
        self._iot, self._http, self._offset = iot, http, offset
        self._lock = threading.Lock()
        self._lease: _Lease | None = None

    def get(self) -> ReadOnlyCredentials:
        """Return the leased keys, renewed in time."""
        with self._lock:
            now = self._offset.seconds()
            lease = self._lease
            if lease is None or now >= lease.renew:
                lease = self._renew(lease)
            return lease.keys

    def forget(self) -> None:
        """Drop the lease."""
        with self._lock:
            self._lease = None

    def _renew(self, old: _Lease | None) -> _Lease:
        try:
            self._lease = self._fetch()
        except NotSent:
            now = self._offset.seconds()  # asked again: a failed try may have taught the time
            if old is None or now >= old.expires - _LAST_SECONDS:
                raise
            self._lease = _Lease(old.keys, now + _RETRY, old.expires)
        return self._lease

    def _fetch(self) -> _Lease:
        host = self._iot.endpoint.removeprefix("https://").rstrip("/")
        headers = {"x-amzn-iot-thingname": self._iot.thing} if self._iot.thing else {}
        url = f"https://{host}/role-aliases/{self._iot.role_alias}/credentials"
        try:
            answer = self._http.send(AWSRequest(method="GET", url=url, headers=headers).prepare())
        except BotoCoreError as error:
            raise failure(error, otherwise=Cause.CREDENTIALS, where=f"the AWS IoT credentials provider {host}") from None
        if answer.status_code != 200:
            why = " ".join(answer.text.split())[:200]
            raise NotSent(Cause.CREDENTIALS, f"the AWS IoT credentials provider {host} answered {answer.status_code} {why}")
        return self._read(answer.content, host)

    def _read(self, content: bytes, host: str) -> _Lease:
        try:
            given = json.loads(content)["credentials"]
            keys = ReadOnlyCredentials(given["accessKeyId"], given["secretAccessKey"], given["sessionToken"])
            expires = datetime.fromisoformat(given["expiration"])
        except (ValueError, KeyError, TypeError):
            raise NotSent(Cause.FOREIGN, f"the AWS IoT credentials provider {host} answered something else than credentials") from None
        end = (expires if expires.tzinfo else expires.replace(tzinfo=UTC)).timestamp()
        now = self._offset.seconds()
        return _Lease(keys, end - max(_LAST_SECONDS, (end - now) * _RENEW_SHARE), end)


def check_files(iot: IotConfig) -> None:
    """Raise `ConfigError` unless certificate and key can be read, and the key by nobody else; OSError without file descriptors."""
    wrong = []
    for name, path in (("certificate", iot.certificate), ("private_key", iot.private_key), ("ca", iot.ca)):
        if not path and name == "ca":
            continue
        try:
            with Path(path).open("rb"):
                fault = exposed(Path(path))
        except OSError as error:
            if error.errno in SHORT:
                raise
            wrong.append(f"{name}: {shown(path)} cannot be read ({error.strerror}); put the file there or correct the path")
            continue
        if name == "private_key" and fault:
            wrong.append(f"private_key: {path} {fault}")
    if wrong:
        raise ConfigError("\n".join(wrong), key=("aws", "iot"))
