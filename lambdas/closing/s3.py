"""Adapter: what the keys of a day were decided to be, by listing the day's prefix: one request for a thousand keys, none for a key.

Objects with rows are larger than the void one, so a listing tells them apart.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from device_agent.wire import ledger as keys
from device_agent.wire.errors import EnvelopeError
from lambdas.landing.ports import Commit, NotNow, Unknown
from lambdas.landing.retry import Retrying

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: Keys that are kept, at some 150 bytes each: the days that were not asked for the longest are forgotten beyond that.
_MOST_KEYS = 1_000_000


class DayListing:
    """The port `Listing` on a bucket. Lists each stream's day once, when it is asked for first; for one invocation, not for longer."""

    def __init__(self, client: S3Client, bucket: str, call: Retrying) -> None:
        self._client = client
        self._bucket = bucket
        self._call = call
        self._lock = threading.Lock()  # one lists, the others wait: most of them ask for the same day
        self._days: OrderedDict[tuple[str, str], dict[bytes, Commit]] = OrderedDict()

    def decided(self, stream: str, day: str, run: str) -> Commit | None:
        """Look it up in the listing of its day."""
        with self._lock:
            listed = self._days.get((stream, day))
            if listed is None:
                listed = self._days[stream, day] = self._list(keys.lake_prefix(stream, day))
                while len(self._days) > 1 and sum(map(len, self._days.values())) > _MOST_KEYS:
                    self._days.popitem(last=False)
            self._days.move_to_end((stream, day))
            return listed.get(bytes.fromhex(run))

    def _list(self, prefix: str) -> dict[bytes, Commit]:
        found: dict[bytes, Commit] = {}
        token: dict[str, Any] = {}
        while True:
            try:
                page: Any = self._call(self._client.list_objects_v2, Bucket=self._bucket, Prefix=prefix, **token)
            except Unknown as error:
                raise NotNow(str(error)) from None  # a question changes nothing
            for entry in page.get("Contents", []):
                try:
                    _, _, run = keys.split_lake_key(entry["Key"])
                except EnvelopeError:
                    continue  # not ours: somebody keeps other things here
                found[bytes.fromhex(run)] = Commit.DATA if entry["Size"] > len(keys.VOID) else Commit.VOID
            if "NextContinuationToken" not in page:
                return found
            token = {"ContinuationToken": page["NextContinuationToken"]}
