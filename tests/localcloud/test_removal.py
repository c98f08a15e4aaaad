"""`cdk diff` and `cdk destroy` of the real app: what goes, and that nothing is left of a development stage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.empty import empty
from localcloud import LocalCloud
from localcloud.cloud import ROOT
from localcloud.deploy import Deployment, _assembly, _Cdk

pytestmark = pytest.mark.e2e


@pytest.fixture
def doomed() -> Iterator[LocalCloud]:
    with LocalCloud.start() as running:
        yield running


def test_a_development_stage_is_removed_without_a_trace(doomed: LocalCloud, tmp_path: Path) -> None:
    deployment = Deployment(root=ROOT)
    cdk = _Cdk(root=ROOT, endpoint_url=doomed.endpoint_url, certificate=None)
    app = str(_assembly(deployment, cdk=cdk, progress=print))
    s3 = doomed.client("s3")
    s3.put_object(Bucket=doomed.outputs.lake_bucket, Key="readings/stream=t/dt=2026-11-23/x.json.gz", Body=b"x")

    cdk.run("diff", deployment.stack, "--app", app, "--fail", folder=tmp_path)  # fails if anything differs
    assert empty(stage="dev", cloudformation=doomed.client("cloudformation"), s3=s3) == (doomed.outputs.lake_bucket, 1)
    cdk.run("destroy", deployment.stack, "--app", app, "--force", folder=tmp_path)

    assert doomed.client("sqs").list_queues().get("QueueUrls", []) == []
    assert doomed.client("dynamodb").list_tables()["TableNames"] == []
    assert doomed.client("lambda").list_functions()["Functions"] == []
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"] if "lake" in bucket["Name"]] == []
    assert doomed.client("logs").describe_log_groups()["logGroups"] == []


def test_a_stage_that_keeps_its_data_is_not_emptied() -> None:
    with pytest.raises(ValueError, match="prod keeps its data"):
        empty(stage="prod", cloudformation=None, s3=None)
