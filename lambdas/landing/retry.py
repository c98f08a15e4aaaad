"""Retry: calls to AWS with a verdict that knows whether anything may have been applied.

botocore's own retries hide whether an attempt before the last was lost on its way back, so clients are made with a single attempt
(`CONFIG`) and this retries: throttling, server errors and network errors, with exponential back-off and full jitter. An answer that is
part of the conversation (a condition that did not hold) is raised as the `ClientError` that it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from lambdas.landing.ports import NotNow, Unknown

Answer = TypeVar("Answer")

#: Conditions that did not hold, and what is not there: answers, not failures. A HEAD has no body, so its code is the bare status.
ANSWERS = frozenset({"ConditionalCheckFailedException", "PreconditionFailed", "NoSuchKey", "NotFound", "404", "412"})
#: Refusals that another attempt may not meet. Status 4xx: certainly not applied.
BUSY = frozenset({
    "ConditionalRequestConflict", "OperationAborted", "ProvisionedThroughputExceededException", "RequestLimitExceeded", "RequestThrottled",
    "RequestTimeout", "SlowDown", "ThrottledException", "Throttling", "ThrottlingException", "TooManyRequestsException", "409", "429",
})  # fmt: skip
#: The only one of them that says nothing of what was applied: the server stopped waiting for the rest of a body.
_UNSURE = frozenset({"RequestTimeout"})

#: Threads that may talk to AWS at a time: some 30 claims in flight keep pace with one core that renders.
THREADS = 32
CONFIG = Config(
    connect_timeout=2,
    read_timeout=5,
    max_pool_connections=THREADS,
    tcp_keepalive=True,
    retries={"mode": "standard", "total_max_attempts": 1},
)


class Retrying:
    """Calls a client's method up to `attempts` times, about 0.1 s apart at first."""

    def __init__(self, *, sleep: Callable[[float], None], random: Callable[[], float], attempts: int = 4, first: float = 0.1) -> None:
        """Take how to sleep (seconds), and a source of numbers from 0 to 1."""
        self._sleep = sleep
        self._random = random
        self._attempts = attempts
        self._first = first

    def __call__(self, method: Callable[..., Answer], **arguments: Any) -> Answer:
        """Return the method's answer.

        Raises:
            ClientError: one of `ANSWERS`.
            NotNow: refused; certainly not applied by any attempt.
            Unknown: some attempt may have been applied, or may yet be.
        """
        failure: type[NotNow | Unknown] = NotNow
        reason = ""
        for attempt in range(self._attempts):
            if attempt:
                self._sleep(self._random() * self._first * 2**attempt)
            try:
                return method(**arguments)
            except ClientError as error:
                reason = str(error.response.get("Error", {}).get("Code", ""))
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
                if reason in ANSWERS:
                    raise
                if status >= 500 or reason in _UNSURE:
                    failure = Unknown
                elif reason not in BUSY:
                    break
            except (BotoCoreError, ResponseParserError) as error:
                reason, failure = type(error).__name__, Unknown
        raise failure(f"{getattr(method, '__name__', 'call')}: {reason}")
