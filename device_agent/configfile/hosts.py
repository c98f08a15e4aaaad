"""Host names of SQS: which region a queue URL is of, in every partition and in every form that AWS gives out.

    sqs.<region>.amazonaws.com            the usual one; sqs-fips.<region>..., and <VPC endpoint>.sqs.<region>.vpce.amazonaws.com
    <region>.queue.amazonaws.com          the older one, which some tools still print; queue.amazonaws.com is us-east-1's
    sqs.<region>.api.aws                  dual-stack

The suffixes are those of botocore's endpoints.json and partitions.json; a test holds them against the installed ones.
"""

from __future__ import annotations

import re
from typing import Final

#: By partition, as it stands in an ARN: of the usual names, and of dual-stack names.
_SUFFIXES: Final = {
    "aws": ("amazonaws.com", "api.aws"),
    "aws-cn": ("amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    "aws-us-gov": ("amazonaws.com", "api.aws"),
    "aws-eusc": ("amazonaws.eu", "api.amazonwebservices.eu"),
    "aws-iso": ("c2s.ic.gov", "api.aws.ic.gov"),
    "aws-iso-b": ("sc2s.sgov.gov", "api.aws.scloud"),
    "aws-iso-e": ("cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    "aws-iso-f": ("csp.hci.ic.gov", "api.aws.hci.ic.gov"),
}
_ANY: Final = "|".join(sorted({re.escape(suffix) for pair in _SUFFIXES.values() for suffix in pair}))
_NOW: Final = re.compile(rf"(?:.+\.)?(?:sqs|sqs-fips)\.([a-z0-9-]+)\.(?:vpce\.)?(?:{_ANY})\.?", re.ASCII)
_BEFORE: Final = re.compile(rf"(?:([a-z0-9-]+)\.)?queue\.(?:{_ANY})\.?", re.ASCII)


def region_of(host: str) -> str:
    """Return the region of a host name in lower case; "" if it is none of SQS's."""
    if match := _NOW.fullmatch(host):
        return match[1]
    match = _BEFORE.fullmatch(host)
    return "" if match is None else match[1] or "us-east-1"


def url_of(arn: str) -> str:
    """Return the URL of the queue that an ARN names; "" for anything else."""
    parts = arn.split(":")
    if len(parts) != 6 or parts[0] != "arn" or parts[2] != "sqs":
        return ""
    _, partition, _, region, account, name = parts
    return f"https://sqs.{region}.{_SUFFIXES.get(partition, _SUFFIXES['aws'])[0]}/{account}/{name}"
