"""Landing when AWS throttles, times out, answers with rubbish, or loses answers: what each comes to, and what is never assumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("moto")  # the cloud half's tools are not on a board

from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from lambdas.landing.batch import Landing, Verdict
from lambdas.landing.dynamodb import LedgerTable
from lambdas.landing.messages import decoded
from lambdas.landing.ports import Commit, NotNow, Unknown
from lambdas.landing.retry import Retrying
from lambdas.landing.s3 import LakeBucket
from tests.lambdas.conftest import aws
from tests.lambdas.fakes import FakeAside
from tests.lambdas.samples import body, message

__all__ = ["aws"]

KEY = f"readings/stream=s/dt=2026-01-31/{'a' * 32}.json.gz"


def refusal(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutItem")  # type: ignore[typeddict-item]


THROTTLED = refusal("ProvisionedThroughputExceededException", 400)
DENIED = refusal("AccessDeniedException", 400)
BROKEN = refusal("InternalServerError", 500)
TIMEOUT = ReadTimeoutError(endpoint_url="https://example")
RUBBISH = ResponseParserError("not JSON")


def played(*script: Any) -> Callable[..., Any]:
    """A client's method that plays its script: errors are raised, all else is the answer."""
    left: Iterator[Any] = iter(script)

    def method(**_: Any) -> Any:
        one = next(left)
        if isinstance(one, Exception):
            raise one
        return one

    return method


def call(slept: list[float] | None = None) -> Retrying:
    return Retrying(sleep=(slept if slept is not None else []).append, random=lambda: 1.0)


def test_what_is_busy_is_tried_again_with_growing_pauses() -> None:
    slept: list[float] = []
    assert call(slept)(played(THROTTLED, BROKEN, TIMEOUT, "answer")) == "answer"
    assert slept == [0.2, 0.4, 0.8]


@pytest.mark.parametrize("error", [THROTTLED, DENIED, refusal("ValidationException", 400), refusal("SlowDown", 429)])
def test_refusals_are_known_not_to_be_applied(error: Exception) -> None:
    with pytest.raises(NotNow):
        call()(played(*[error] * 4))


@pytest.mark.parametrize(
    "error",
    [
        BROKEN,
        TIMEOUT,
        RUBBISH,
        ConnectTimeoutError(endpoint_url="x"),
        EndpointConnectionError(endpoint_url="x"),
        refusal("SlowDown", 503),
    ],
)
def test_everything_else_may_have_been_applied(error: Exception) -> None:
    with pytest.raises(Unknown):
        call()(played(*[error] * 4))


@pytest.mark.parametrize("script", [[TIMEOUT, THROTTLED, THROTTLED, THROTTLED], [BROKEN, DENIED], [THROTTLED, TIMEOUT, DENIED]])
def test_a_refusal_after_a_lost_answer_proves_nothing(script: list[Exception]) -> None:
    with pytest.raises(Unknown):
        call()(played(*script))


def test_what_will_not_change_is_not_tried_again() -> None:
    slept: list[float] = []
    with pytest.raises(NotNow, match="AccessDenied"):
        call(slept)(played(DENIED))
    assert slept == []


def test_a_condition_that_did_not_hold_is_an_answer_also_after_a_lost_one() -> None:
    with pytest.raises(ClientError, match="ConditionalCheckFailedException"):
        call()(played(TIMEOUT, refusal("ConditionalCheckFailedException", 400)))


class Flaky:
    """A real client (moto) some of whose calls go wrong: before they reach the service, or on the way back."""

    def __init__(self, client: Any, method: str, *plan: tuple[str, Exception | None]) -> None:
        self._client, self._method, self._plan = client, method, iter(plan)

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)
        if name != self._method:
            return real

        def method(**arguments: Any) -> Any:
            when, error = next(self._plan, ("", None))
            if when == "before" and error:
                raise error
            answer = real(**arguments)
            if when == "after" and error:
                raise error
            return answer

        return method


def landing(dynamodb: Any, s3: Any, aws: Any, pool: Any) -> Landing:
    return Landing(
        ledger=LedgerTable(dynamodb, aws.ledger, call()),
        lake=LakeBucket(s3, aws.lake, call()),
        aside=FakeAside(),
        pool=pool,
        now=time.time,
        new_run=lambda: f"{time.time_ns():032x}",
    )


def land(dynamodb: Any, s3: Any, aws: Any, *firsts: int) -> list[Verdict]:
    with ThreadPoolExecutor(1) as pool:
        texts = [body(first, [b"a"]) for first in firsts]
        report = landing(dynamodb, s3, aws, pool).land(decoded(map(message, texts)), deadline=time.time() + 60)
    return [settled.verdict for settled in report.settled]


# The first PutItem of a batch copies the epoch's ordinal, the later ones are claims.
WELL = ("", None)


def test_a_claim_whose_answer_was_lost_is_found_to_be_mine(aws: Any) -> None:
    assert land(Flaky(aws.dynamodb, "put_item", WELL, ("after", TIMEOUT)), aws.s3, aws, 1, 2) == [Verdict.LANDED] * 2
    assert len(aws.objects()) == 1


def test_an_object_whose_answer_was_lost_is_found_to_be_mine(aws: Any) -> None:
    assert land(aws.dynamodb, Flaky(aws.s3, "put_object", ("after", BROKEN)), aws, 1, 2) == [Verdict.LANDED] * 2
    assert len(aws.objects()) == 1


def test_two_puts_at_once_are_tried_again(aws: Any) -> None:
    conflict = refusal("ConditionalRequestConflict", 409)
    assert land(aws.dynamodb, Flaky(aws.s3, "put_object", ("before", conflict), ("before", conflict)), aws, 1) == [Verdict.LANDED]


def test_a_throttled_table_gives_back_what_it_refused_and_lands_the_rest(aws: Any) -> None:
    throttled = [("before", THROTTLED)] * 4
    assert land(Flaky(aws.dynamodb, "put_item", WELL, *throttled), aws.s3, aws, 1, 2) == [Verdict.FAILED, Verdict.LANDED]
    assert land(aws.dynamodb, aws.s3, aws, 1, 2) == [Verdict.LANDED, Verdict.DUPLICATE]


def test_a_table_that_went_away_gives_everything_back(aws: Any) -> None:
    gone = [("before", EndpointConnectionError(endpoint_url="x"))] * 100
    assert land(Flaky(aws.dynamodb, "query", *gone), aws.s3, aws, 1, 2) == [Verdict.FAILED] * 2
    assert land(Flaky(aws.dynamodb, "put_item", WELL, *gone), aws.s3, aws, 1, 2) == [Verdict.FAILED] * 2
    assert aws.objects() == {}
    assert land(aws.dynamodb, aws.s3, aws, 1, 2) == [Verdict.LANDED] * 2


def test_a_bucket_without_the_right_to_list_lands_nothing_and_loses_nothing(aws: Any) -> None:
    forbidden = refusal("403", 403)
    with pytest.raises(NotNow):
        LakeBucket(Flaky(aws.s3, "head_object", ("before", forbidden)), aws.lake, call()).head(KEY)


def test_a_question_without_an_answer_is_not_absence(aws: Any) -> None:
    lake = LakeBucket(Flaky(aws.s3, "head_object", *[("before", TIMEOUT)] * 4), aws.lake, call())
    lake.create(KEY, b"body", Commit.DATA)
    with pytest.raises(NotNow):
        lake.head(KEY)
    assert lake.head(KEY) is Commit.DATA


def test_a_ledger_that_does_not_say_which_claim_stands_proves_nothing(aws: Any) -> None:
    mute = ("before", refusal("ConditionalCheckFailedException", 400))
    assert land(Flaky(aws.dynamodb, "put_item", WELL, mute), aws.s3, aws, 1, 2) == [Verdict.FAILED] * 2
    assert aws.objects() == {}
