"""Client: SendMessageBatch and GetQueueAttributes, and nothing else of SQS. With `http` and `credentials` all that touches boto3.

Promises: a call ends within the timeouts, makes one try (retries are the scheduler's), and ends in verdicts only: one a message, or
`NotSent`/`Refused` for the whole request. A message is reported as accepted only if `Successful` names it.

How: a plain boto3 client, told everything explicitly so that boto3 1.26 (Query protocol, other defaults) and today's (JSON) do the same.
Three of botocore's hooks are used: `request-created` signs with the corrected clock, `before-send` sends over our own connections
(`http`), and the parameter check, which costs time and knows less than `packer`, is off. botocore does not compute MD5 for SQS.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, cast
from urllib.parse import quote_plus, urlsplit

import boto3.session
from botocore import UNSIGNED
from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from device_agent.clock import Clock
from device_agent.config import AwsConfig, UplinkConfig
from device_agent.errors import NotNow
from device_agent.packer import Message
from device_agent.uplink import verdicts
from device_agent.uplink.clock_offset import ClockOffset
from device_agent.uplink.credentials import ChainCredentials, Credentials, IotCredentials
from device_agent.uplink.failures import failure, words
from device_agent.uplink.http import Http
from device_agent.uplink.verdicts import Cause, NotSent, Refused
from device_agent.wire.limits import MAX_MESSAGE

_FOREIGN: Final = "answered something that cannot be read"
#: What botocore's parsers raise on answers of another form, beside their own error.
_UNREADABLE: Final = (ResponseParserError, UnicodeDecodeError, TypeError, AttributeError, KeyError)

#: The verdict on one message; None is "accepted".
Verdict = NotSent | Refused | None


class Transport(Protocol):
    """What carries messages to queues. Safe from every thread."""

    def send(self, queue: str, messages: Sequence[Message]) -> list[Verdict]:
        """Send 1 to 10 messages in one request and return a verdict each, in their order.

        Raises:
            NotSent: nothing is known to be accepted; try again later.
            Refused: the request as a whole is refused for what is in it.
        """

    def limit(self, queue: str) -> int:
        """Return the queue's MaximumMessageSize in bytes, at most 1 MiB.

        Raises:
            NotSent: not known this time; with `Cause.REQUEST` of an endpoint that does not say, as SQS always does.
            Refused: as of `send`.
        """

    def close(self) -> None:
        """Close connections."""


class _Signer(SigV4Auth):
    """Signature V4 at the corrected time."""

    def __init__(self, credentials: ReadOnlyCredentials, region: str, offset: ClockOffset) -> None:
        super().__init__(credentials, "sqs", region)
        self._offset = offset

    def _modify_request_before_signing(self, request: AWSRequest) -> None:  # in every botocore between 1.29 and 1.43
        request.context["timestamp"] = self._offset.now().strftime(SIGV4_TIMESTAMP)
        super()._modify_request_before_signing(request)  # type: ignore[misc]  # the stubs leave it out


class Sqs:
    """`Transport` over boto3."""

    def __init__(self, *, aws: AwsConfig, config: UplinkConfig, clock: Clock) -> None:
        self._aws, self._config = aws, config
        self._offset = ClockOffset(clock)
        self._http = Http(config=config, offset=self._offset)
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._iot_http: Http | None = None
        self._credentials: Credentials
        if aws.iot is None:
            self._credentials = ChainCredentials(aws, http=self._http)
        else:
            pair = (aws.iot.certificate, aws.iot.private_key)
            self._iot_http = Http(config=config, offset=self._offset, ca=aws.iot.ca, client_cert=pair)
            self._credentials = IotCredentials(aws.iot, http=self._iot_http, offset=self._offset)

    def send(self, queue: str, messages: Sequence[Message]) -> list[Verdict]:
        """SendMessageBatch."""
        entries = [_entry(index, message) for index, message in enumerate(messages)]
        answer = self._call("send_message_batch", queue, Entries=entries)
        if not answer.get("Successful") and not answer.get("Failed"):
            raise NotSent(Cause.FOREIGN, f"{urlsplit(self._endpoint(queue)).netloc} {_FOREIGN}")
        return _verdicts(answer, len(entries))

    def limit(self, queue: str) -> int:
        """GetQueueAttributes."""
        answer = self._call("get_queue_attributes", queue, AttributeNames=["MaximumMessageSize"])
        try:
            return min(MAX_MESSAGE, int(answer["Attributes"]["MaximumMessageSize"]))
        except (KeyError, TypeError, ValueError):
            raise NotSent(Cause.REQUEST, f"{urlsplit(self._endpoint(queue)).netloc} does not say the queue's MaximumMessageSize") from None

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()
        for http in (self._http, self._iot_http):
            if http is not None:
                http.close()

    def _call(self, operation: str, queue: str, **parameters: Any) -> Mapping[str, Any]:
        try:
            return cast("Mapping[str, Any]", getattr(self._client(queue), operation)(QueueUrl=queue, **parameters))
        except ClientError as error:
            raise self._verdict(error) from None
        except _UNREADABLE as error:
            raise NotSent(Cause.FOREIGN, f"{urlsplit(self._endpoint(queue)).netloc} {_FOREIGN} ({type(error).__name__})") from error
        except BotoCoreError as error:
            raise failure(error) from None
        except NotNow:
            raise
        except Exception as error:  # whatever a library raises on a bad network or answer must not end a sender; it is told
            raise NotSent(Cause.UNKNOWN, f"{type(error).__name__}: {words(error)}") from error

    def _verdict(self, error: ClientError) -> NotSent | Refused:
        told = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        verdict = verdicts.request(str(told.get("Code", "")), str(told.get("Message", "")), status=status)
        if verdict.cause in {Cause.CREDENTIALS, Cause.CLOCK, Cause.PERMISSION}:
            self._credentials.forget()
        return verdict

    def _endpoint(self, queue: str) -> str:
        """The configured endpoint, or the queue's own host: right in every partition and for every kind of endpoint."""
        if self._aws.endpoint_url:
            return self._aws.endpoint_url
        parts = urlsplit(queue)
        return f"{parts.scheme}://{parts.netloc}"

    def _client(self, queue: str) -> Any:
        endpoint = self._endpoint(queue)
        with self._lock:
            if endpoint not in self._clients:
                self._clients[endpoint] = self._connect(endpoint)
            return self._clients[endpoint]

    def _connect(self, endpoint: str) -> Any:
        config = Config(
            signature_version=UNSIGNED,  # `_sign` does it, with the corrected clock
            retries={"total_max_attempts": 1, "mode": "standard"},  # the back-off is the scheduler's
            connect_timeout=self._config.connect_timeout,
            read_timeout=self._config.read_timeout,
            max_pool_connections=self._config.senders + 1,
            tcp_keepalive=True,
            parameter_validation=False,
        )
        client = boto3.session.Session().client("sqs", region_name=self._aws.region, endpoint_url=endpoint, config=config)
        client.meta.events.register_last("request-created.sqs", self._sign)
        client.meta.events.register("before-send.sqs", cast("Any", self._send))  # the stubs do not know that it may answer
        return client

    def _sign(self, request: AWSRequest, **_: Any) -> None:
        if isinstance(request.data, dict):
            # Query protocol: botocore would encode the form three times, a character at a time
            request.data = form(cast("Mapping[str, object]", request.data))
        _Signer(self._credentials.get(), self._aws.region, self._offset).add_auth(request)

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        return self._http.send(request)


def connect(aws: AwsConfig, config: UplinkConfig, clock: Clock) -> Transport:
    """Return the real transport; no network yet. Raises `ConfigError` for files of `[aws.iot]` that are missing or open to others."""
    return Sqs(aws=aws, config=config, clock=clock)


def _entry(index: int, message: Message) -> dict[str, str]:
    entry = {"Id": str(index), "MessageBody": message.body}
    if message.group is not None:
        entry["MessageGroupId"] = message.group
    if message.deduplication_id is not None:
        entry["MessageDeduplicationId"] = message.deduplication_id
    return entry


def _verdicts(answer: Mapping[str, Any], count: int) -> list[Verdict]:
    """Read the answer entry by entry; what it does not name was perhaps not accepted."""
    result: list[Verdict] = [NotSent(Cause.SERVICE, "the answer named neither success nor failure of a message") for _ in range(count)]
    index = {str(number): number for number in range(count)}
    for entry in answer.get("Failed") or ():
        number = index.get(str(entry.get("Id")))
        if number is not None:
            fault = entry.get("SenderFault") is True
            result[number] = verdicts.entry(str(entry.get("Code", "")), str(entry.get("Message", "")), sender_fault=fault)
    for entry in answer.get("Successful") or ():
        number = index.get(str(entry.get("Id")))
        if number is not None:
            result[number] = None
    return result


#: What a form leaves as it is; and all other bytes, as `quote_plus` writes them.
_SAFE: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~"


def form(fields: Mapping[str, object]) -> bytes:
    """Return `application/x-www-form-urlencoded`, as `urllib.parse.urlencode` does but fast for long values of few distinct characters."""
    return b"&".join(quote_plus(name).encode() + b"=" + _quote(str(value).encode()) for name, value in fields.items())


def _quote(text: bytes) -> bytes:
    unsafe = set(text.translate(None, _SAFE))
    if len(unsafe) > 32:
        return quote_plus(text).encode()
    for byte in sorted(unsafe, key=lambda byte: byte != 0x25):  # '%' first, or it would be quoted again
        if byte != 0x20:
            text = text.replace(bytes((byte,)), b"%%%02X" % byte)
    return text.replace(b" ", b"+")
