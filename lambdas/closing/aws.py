"""Composition: closing and checking on AWS. Endpoint, region and credentials are the environment's, as boto3 reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import boto3

from lambdas import runtime
from lambdas.closing.dynamodb import ClosingTable
from lambdas.closing.ports import Listing
from lambdas.closing.s3 import DayListing
from lambdas.landing.retry import CONFIG
from lambdas.landing.s3 import LakeBucket


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What closing and checking stand on."""

    ledger: ClosingTable
    lake: LakeBucket
    listing: Callable[[], Listing]


def parts(environment: Mapping[str, str]) -> Parts:
    """Make them of LEDGER_TABLE and LAKE_BUCKET.

    Raises:
        KeyError: one of them is missing.
    """
    call = runtime.retrying()
    table, bucket = environment["LEDGER_TABLE"], environment["LAKE_BUCKET"]
    s3 = boto3.client("s3", config=CONFIG)
    return Parts(
        ledger=ClosingTable(boto3.client("dynamodb", config=CONFIG), table, call),
        lake=LakeBucket(s3, bucket, call),
        listing=lambda: DayListing(s3, bucket, call),
    )
