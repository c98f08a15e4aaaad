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
_AWS: Final = re.compile(rf"(.+)\.(?:{_ANY})\.?", re.ASCII)
_SERVICE: Final = frozenset({"sqs", "sqs-fips", "queue"})
#: A region's name: us-east-1, us-gov-west-1, eusc-de-east-1.
_REGION: Final = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}", re.ASCII)


def region_of(host: str) -> str:
    """Return the region of a host name in lower case; "" if it is none of SQS's."""
    match = _AWS.fullmatch(host)
    labels = match[1].split(".") if match else []
    if not _SERVICE.intersection(labels):
        return ""
    regions = [label for label in labels if _REGION.fullmatch(label)]
    return regions[-1] if regions else "us-east-1" if labels == ["queue"] else ""


def url_of(arn: str) -> str:
    """Return the URL of the queue that an ARN names; "" for anything else."""
    parts = arn.split(":")
    if len(parts) != 6 or parts[0] != "arn" or parts[2] != "sqs":
        return ""
    _, partition, _, region, account, name = parts
    return f"https://sqs.{region}.{_SUFFIXES.get(partition, _SUFFIXES['aws'])[0]}/{account}/{name}"
