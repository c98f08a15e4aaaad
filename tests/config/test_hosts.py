"""The region of a queue's URL in every form that AWS gives out, held against botocore's own tables.

The public reports: https://github.com/boto/botocore/issues/1418 (boto3 gives out `<region>.queue.amazonaws.com`, and other tools sign for a
wrong region: https://github.com/aws/aws-sdk-ruby/issues/1620). Here a wrong region was noticed only in the usual form.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import botocore
import pytest
from botocore.config import Config
from botocore.session import Session

from device_agent import configfile
from device_agent.configfile import hosts
from device_agent.errors import ConfigError
from tests.config.samples import GOOD

QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/telemetry"
OTHERS = [
    "https://queue.amazonaws.com/123456789012/telemetry",
    "https://us-west-2.queue.amazonaws.com/123456789012/telemetry",
    "https://sqs.us-west-2.amazonaws.com/123456789012/telemetry",
    "https://SQS.us-west-2.amazonaws.com/123456789012/telemetry",
    "https://sqs-fips.us-west-2.amazonaws.com/123456789012/telemetry",
    "https://sqs.us-west-2.api.aws/123456789012/telemetry",
    "https://vpce-0a1b-c2d3.sqs.us-west-2.vpce.amazonaws.com/123456789012/telemetry",
    "https://vpce-0a1b-c2d3-us-west-2a.sqs.us-west-2.vpce.amazonaws.com/123456789012/telemetry",
    "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/telemetry",
    "https://cn-north-1.queue.amazonaws.com.cn/123456789012/telemetry",
    "https://sqs.cn-north-1.api.amazonwebservices.com.cn/123456789012/telemetry",
    "https://sqs.us-gov-west-1.amazonaws.com/123456789012/telemetry",
    "https://us-gov-west-1.queue.amazonaws.com/123456789012/telemetry",
    "https://sqs.eusc-de-east-1.amazonaws.eu/123456789012/telemetry",
    "https://sqs.us-iso-east-1.c2s.ic.gov/123456789012/telemetry",
]


@pytest.mark.parametrize("url", OTHERS)
def test_a_queue_in_another_region_is_a_mistake_in_every_form(url: str) -> None:
    with pytest.raises(ConfigError, match=r"stream\.queue: is a queue in .*, but aws\.region is eu-central-1"):
        configfile.loads(GOOD.replace(QUEUE, url), "agent.toml", environ={})


@pytest.mark.parametrize("url", OTHERS)
def test_in_its_own_region_it_is_none(url: str) -> None:
    host = url.split("/")[2].lower()
    text = GOOD.replace(QUEUE, url).replace("eu-central-1", hosts.region_of(host))
    assert configfile.loads(text, "agent.toml", environ={}).stream


@pytest.mark.parametrize("variant", [{}, {"use_fips_endpoint": True}, {"use_dualstack_endpoint": True}])
def test_every_endpoint_that_botocore_makes_for_sqs_has_its_region(variant: dict[str, bool]) -> None:
    session = Session()
    for partition in session.get_available_partitions():
        for region in session.get_available_regions("sqs", partition)[:3]:
            if variant and "iso" in partition:
                continue  # these have no such endpoints
            client = session.create_client(
                "sqs", region, config=Config(**variant), aws_access_key_id="x", aws_secret_access_key="y"
            )  # fmt: skip
            assert hosts.region_of(urlsplit(client.meta.endpoint_url).hostname or "") == region
            client.close()


def test_the_suffixes_are_botocores() -> None:
    partitions = json.loads((Path(botocore.__file__).parent / "data" / "partitions.json").read_text())["partitions"]
    for one in partitions:
        said = one["outputs"]
        if one["id"] in hosts._SUFFIXES:  # a newer botocore knows more partitions; an older one has no dual-stack names of some
            usual, dual = hosts._SUFFIXES[one["id"]]
            assert (said["dnsSuffix"], said["dualStackDnsSuffix"]) in {(usual, dual), (usual, usual)}


@pytest.mark.parametrize("host", ["localhost", "sqs.example.com", "queue.example.com", "amazonaws.com", "sqs.amazonaws.com.evil.example"])
def test_other_hosts_have_none(host: str) -> None:
    assert hosts.region_of(host) == ""


def test_an_arn_is_turned_into_the_url_of_its_partition() -> None:
    assert hosts.url_of("arn:aws-cn:sqs:cn-north-1:123456789012:q") == "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q"
    assert hosts.url_of("arn:aws:sqs:eu-central-1:123456789012:q.fifo") == "https://sqs.eu-central-1.amazonaws.com/123456789012/q.fifo"
    assert not hosts.url_of("arn:aws:s3:::bucket")
