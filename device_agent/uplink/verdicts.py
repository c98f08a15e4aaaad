"""Table: what an answer of SQS means. One table, and the only one, decides between "not now" and "never".

Promises: only what is wrong with this very message, its size or its characters, sets it aside. All else is retried for ever, whatever
`SenderFault` says: credentials, permissions, throttling, KMS, clock, queue, parameters, service and network, and every code that is not in
the table. Every error carries one sentence: what, where, and what to do.

SQS spells codes in several ways: `AWS.SimpleQueueService.BatchRequestTooLong` (Query protocol and the `x-amzn-query-error` header),
`com.amazonaws.sqs#BatchRequestTooLong` (JSON protocol), with and without `Exception` at the end. `short` makes them one.
Sources: the SQS API reference (errors of SendMessageBatch, common errors), botocore's service model, AWS Signature V4 troubleshooting.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from device_agent.errors import Never, NotNow


class Cause(Enum):
    """Kinds of failure, each with what to do about it."""

    NETWORK = "the network or the endpoint does not answer; nothing to do if it comes back by itself, else check the link, DNS and proxy"
    TLS = "the connection cannot be trusted; check this board's clock and its CA certificates"
    SERVICE = "SQS has a fault of its own; nothing to do"
    THROTTLED = "SQS asks for fewer requests; nothing to do, the agent slows down"
    CREDENTIALS = "the credentials are missing, expired or wrong; give the agent valid ones (environment, ~/.aws/credentials or aws.iot)"
    CLOCK = "the signature was refused: the clock is wrong, or the secret key is; the agent learns the time from the answer"
    PERMISSION = "the credentials may not do this; allow sqs:SendMessage (and the queue's KMS key) for the device's role"
    KEY = "the queue's KMS key cannot be used; check the key's state and its policy"
    QUEUE = "the queue does not exist or is of another kind; check `queue` of the stream, or deploy it"
    SIZE = "the request or message is larger than the queue takes; raise MaximumMessageSize or lower `max_envelope`"
    CONTENT = "SQS never takes this message"
    REQUEST = "the endpoint refuses the form of the request; if it is not AWS's own, it may lack a feature"
    DISK = "the log on disk cannot be read; check the disk (`device-agent spool verify`)"
    FILES = "the agent has no file descriptor left; raise LimitNOFILE, or lower the inputs' `max_connections`"
    ASIDE = "SQS refuses a message, and the disk does not take it into the quarantine; make room there, or check the disk"
    FOREIGN = "that is not AWS's answer: a captive portal or a proxy? Check the link, `aws.endpoint_url` and HTTPS_PROXY"
    PASSAGE = "a proxy before SQS takes no request as large; raise its limit (nginx: client_max_body_size) or lower `max_envelope`"
    EVERY = "the queue says so of message after message, as after a change of its settings; they wait, and few are set aside"
    UNKNOWN = "an error that the agent does not know"


#: Causes that speak about the message itself.
_ABOUT_THE_MESSAGE: Final = frozenset({Cause.SIZE, Cause.CONTENT})

_CODES: Final[dict[Cause, str]] = {
    Cause.SERVICE: """InternalError InternalFailure ServiceUnavailable ServiceFailure ServiceError RequestTimeout
        InternalServerError BadGateway""",
    Cause.THROTTLED: """RequestThrottled Throttling Throttled ThrottledRequest TooManyRequests RequestLimitExceeded BandwidthLimitExceeded
        LimitExceeded SlowDown PriorRequestNotComplete ProvisionedThroughputExceeded OverLimit""",
    Cause.CREDENTIALS: """InvalidClientTokenId UnrecognizedClient ExpiredToken TokenRefreshRequired InvalidAccessKeyId InvalidToken
        MissingAuthenticationToken NotSignedUp OptInRequired AuthFailure InvalidGrant""",
    Cause.CLOCK: "RequestTimeTooSkewed RequestExpired SignatureDoesNotMatch InvalidSignature IncompleteSignature RequestInTheFuture",
    Cause.PERMISSION: "AccessDenied UnauthorizedOperation Unauthorized NotAuthorized Forbidden InvalidSecurity AccountProblem",
    Cause.QUEUE: """QueueDoesNotExist NonExistentQueue QueueDeletedRecently InvalidAddress UnsupportedOperation MissingParameter
        ResourceNotFound""",
    Cause.SIZE: "BatchRequestTooLong MessageTooLong RequestEntityTooLarge",
    Cause.CONTENT: "InvalidMessageContents",
    Cause.REQUEST: """BatchEntryIdsNotDistinct InvalidBatchEntryId TooManyEntriesInBatchRequest EmptyBatchRequest InvalidAction
        UnknownOperation InvalidQueryParameter MalformedQueryString MissingAction Validation ValidationError Serialization
        MalformedInput NotImplemented InvalidParameterValue InvalidParameter InvalidParameterCombination InvalidAttributeName
        InvalidAttributeValue""",
}
_CAUSES: Final = {code.lower(): cause for cause, codes in _CODES.items() for code in codes.split()}
#: What a status says beside a code that is not in the table.
_STATUS: Final = {429: Cause.THROTTLED, 401: Cause.PERMISSION, 403: Cause.PERMISSION}
_PREFIXES: Final = ("aws.simplequeueservice.", "com.amazonaws.sqs#", "com.amazon.coral.service#", "com.amazon.coral.availability#")


#: What SQS says of a message body that is too long; the same words stand in what it says of a message group id.
_TOO_LONG: Final = re.compile(r"\bMessage(?:Body)? must be shorter than \d", re.ASCII)


class NotSent(NotNow):
    """Not accepted this time; or nobody knows. Retried for ever."""

    def __init__(self, cause: Cause, what: str) -> None:
        super().__init__(f"{what}: {cause.value}")
        self.cause = cause
        self.splits = cause is Cause.PASSAGE  # a smaller request may get through


class Refused(Never):
    """SQS says that this message (or this request, as long as it holds several) can never be accepted."""

    def __init__(self, cause: Cause, what: str) -> None:
        super().__init__(f"{what}: {cause.value}")
        self.cause = cause
        self.splits = True  # to see which message it is


def short(code: str) -> str:
    """Return the one spelling of an error code: without namespace and `Exception`."""
    lower = code.lower()
    for prefix in _PREFIXES:
        if lower.startswith(prefix):
            code = code[len(prefix) :]
            break
    return code.rpartition("#")[2].removesuffix("Exception") or code


def cause_of(code: str, *, status: int = 0) -> Cause:
    """Return the kind of an error code, with the help of the HTTP status where the code is not known."""
    cause = _CAUSES.get(short(code).lower())
    if cause is not None:
        return cause
    if "kms" in code.lower():
        return Cause.KEY  # SQS passes on what KMS says, under names that no list has all of: KmsDisabled, KMS.NotFoundException, ...
    if status and (not code or code.isdecimal()):
        return Cause.PASSAGE if status == 413 else Cause.FOREIGN  # AWS gives each of its errors a code
    return Cause.SERVICE if status >= 500 else _STATUS.get(status, Cause.UNKNOWN)


def _meaning(code: str, message: str, *, status: int = 0) -> Cause:
    """Return the kind of an error that may be about a message: of a parameter that is too long only the text tells which one it is."""
    if short(code) in {"InvalidParameterValue", "InvalidParameter"} and _TOO_LONG.search(message):
        return Cause.SIZE
    return cause_of(code, status=status)


def entry(code: str, message: str, *, sender_fault: bool) -> NotSent | Refused:
    """Return the verdict on one entry of `Failed`."""
    cause = _meaning(code, message)
    return (Refused if sender_fault and cause in _ABOUT_THE_MESSAGE else NotSent)(cause, _what(code, message))


def request(code: str, message: str, *, status: int) -> NotSent | Refused:
    """Return the verdict on a whole request. `Refused` needs a closer look while the request holds more than one message."""
    cause = _meaning(code, message, status=status)
    named = code and not code.isdecimal()
    return (Refused if cause in _ABOUT_THE_MESSAGE else NotSent)(cause, _what(code if named else f"HTTP {status}", message))


def _what(code: str, message: str) -> str:
    """Code and the service's own words, on one line and not too long: a proxy may answer with a page."""
    words = " ".join(message.split())[:200]
    return f"{short(code)} ({words})" if words else short(code)
