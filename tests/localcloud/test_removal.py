"""`cdk diff` and `cdk destroy` of the real app: what goes, and that nothing is left of a development stage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from lambdas import empty_lake
from localcloud import LocalCloud
from localcloud.cloud import ROOT
from localcloud.deploy import Deployment, _assembly, _Cdk

pytestmark = pytest.mark.e2e


@pytest.fixture(params=[False, True], ids=["plain", "enforced"])
def doomed(request: pytest.FixtureRequest) -> Iterator[LocalCloud]:
    """With `enforced` the function that empties the lake has only the rights that the template gives it."""
    with LocalCloud.start(enforce=request.param) as running:
        yield running


def test_a_development_stage_is_removed_without_a_trace_and_without_a_step_by_hand(doomed: LocalCloud, tmp_path: Path) -> None:
    deployment = Deployment(root=ROOT)
    cdk = _Cdk(root=ROOT, endpoint_url=doomed.endpoint_url, certificate=doomed.certificate)
    app = str(_assembly(deployment, cdk=cdk, progress=print))
    s3 = doomed.client("s3")
    for number in range(3):
        s3.put_object(Bucket=doomed.outputs.lake_bucket, Key=f"readings/stream=t/dt=2026-11-23/{number}.json.gz", Body=b"x")

    cdk.run("diff", deployment.stack, "--app", app, "--fail", folder=tmp_path)  # fails if anything differs
    cdk.run("destroy", deployment.stack, "--app", app, "--force", folder=tmp_path)

    assert doomed.client("sqs").list_queues().get("QueueUrls", []) == []
    assert doomed.client("dynamodb").list_tables()["TableNames"] == []
    assert doomed.client("lambda").list_functions()["Functions"] == []
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"] if "lake" in bucket["Name"]] == []
    assert doomed.client("logs").describe_log_groups()["logGroups"] == []
    assert doomed.client("athena").list_named_queries()["NamedQueryIds"] == []
    assert doomed.client("cloudwatch").list_dashboards()["DashboardEntries"] == []


class Lake:
    """S3 as the function uses it."""

    def __init__(self, *pages: list[str], error: str = "") -> None:
        self._pages, self._error = pages, error
        self.deleted: list[str] = []

    def get_paginator(self, _: str) -> Lake:
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        return [{"Contents": [{"Key": key} for key in page]} if page else {} for page in self._pages]

    def delete_objects(self, *, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        self.deleted += [one["Key"] for one in Delete["Objects"]]
        return {"Errors": [{"Key": self.deleted[-1], "Code": self._error}]} if self._error else {}


@pytest.mark.parametrize(
    ("kind", "lake", "status", "deleted"),
    [
        ("Create", Lake(["a"]), "SUCCESS", []),
        ("Update", Lake(["a"]), "SUCCESS", []),
        ("Delete", Lake(["a", "b"], [], ["c"]), "SUCCESS", ["a", "b", "c"]),
        ("Delete", Lake(["a"], error="AccessDenied"), "FAILED", ["a"]),
    ],
    ids=["create", "update", "delete", "denied"],
)
def test_it_deletes_only_when_the_stack_goes_and_always_answers(
    monkeypatch: pytest.MonkeyPatch, kind: str, lake: Lake, status: str, deleted: list[str]
) -> None:
    answers = []

    class Answer:
        def read(self) -> bytes:
            return b""

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    def urlopen(request: Any, **_: object) -> Answer:
        answers.append(json.loads(request.data))
        return Answer()

    monkeypatch.setattr(empty_lake.boto3, "client", lambda _: lake)
    monkeypatch.setattr(empty_lake.urllib.request, "urlopen", urlopen)
    event = {
        "RequestType": kind, "ResponseURL": "https://answer", "StackId": "s", "RequestId": "r", "LogicalResourceId": "l",
        "ResourceProperties": {"Bucket": "lake"},
    }  # fmt: skip
    empty_lake.handler(event, None)
    assert [answer["Status"] for answer in answers] == [status]
    assert lake.deleted == deleted
