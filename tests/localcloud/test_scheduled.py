"""The scheduled functions run as they were deployed, and with no more rights than the template gives them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from localcloud import LocalCloud

pytestmark = pytest.mark.e2e


@pytest.fixture(params=["plain", "enforced"], scope="module")
def deployed(request: pytest.FixtureRequest) -> Iterator[LocalCloud]:
    if request.param == "plain":
        yield request.getfixturevalue("cloud")
        return
    with LocalCloud.start(enforce=True) as running:
        yield running


@pytest.mark.parametrize("function", ["close_day_function", "check_gaps_function"])
def test_a_scheduled_function_looks_after_its_buckets(deployed: LocalCloud, function: str) -> None:
    client = deployed.client("lambda")
    for bucket in range(2):
        event = json.dumps({"bucket": bucket, "buckets": 2}).encode()
        answer: dict[str, Any] = client.invoke(FunctionName=getattr(deployed.outputs, function), Payload=event)
        said = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, said
        assert said["complete"] is True
        assert said["bucket"] == bucket
