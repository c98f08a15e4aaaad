"""Audit: reads the books of the cloud half from the ledger and the lake, and says whether anything is missing.

Promises
1. Only reads; needs `dynamodb:Query` on the ledger, `s3:ListBucket` on the lake, for `deep` `s3:GetObject` too.
2. What lands meanwhile is at worst pending, never missing: claims are read before the objects that they name are looked for.
3. Never one request per envelope: claims come by the page, objects by listing a stream's day.

How: the registry lists devices, streams and epochs; a query per epoch brings its claims, folded ranges and notices; a claim counts as
received if its object stands in the listing with more bytes than a void one has. `deep` reads every row of the lake besides, and
holds it against the ledger: each (device, stream, epoch, seq) has to be there exactly once. A time picks the numbers between the first
and the last that were claimed in it, with what is missing right below the first; claims know their time for 60 days.
"""

from __future__ import annotations

import io
import json
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from device_agent.errors import DeviceAgentError
from device_agent.operate import books
from device_agent.operate.books import Books, LakeCount, Span, within
from device_agent.operate.fleet import claimed_at
from device_agent.wire import ledger as keys
from device_agent.wire.books import Facts, settle
from device_agent.wire.errors import EnvelopeError
from device_agent.wire.ledger import Line
from device_agent.wire.ranges import Ranges

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Clients:
    """boto3 clients of the account that holds ledger and lake."""

    dynamodb: DynamoDBClient
    s3: S3Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is asked for: all that fits everything that is said. `since` and `until` are seconds since 1970, by the cloud's clock."""

    device: str | None = None
    stream: str | None = None
    epoch: str | None = None
    since: float | None = None
    until: float | None = None

    @property
    def timed(self) -> bool:
        """Whether a time is said."""
        return self.since is not None or self.until is not None

    def fits(self, line: Line) -> bool:
        """Whether a line is meant."""
        return self.device in {None, line.device} and self.stream in {None, line.stream} and self.epoch in {None, line.epoch}

    def covers(self, time: float) -> bool:
        """Whether a time is meant."""
        return (self.since is None or time >= self.since) and (self.until is None or time < self.until)


def audit(clients: Clients, *, ledger: str, lake: str, choice: Choice = Choice(), deep: bool = False) -> Books:  # frozen
    """Read the books.

    Args:
        clients: where to ask.
        ledger: name of the ledger table.
        lake: name of the lake's bucket.
        choice: which lines, and of what time.
        deep: read every row of the lake too; not of a time.

    Raises:
        ValueError: `deep` and a time.
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: AWS refuses, or cannot be reached.
        DeviceAgentError: with `deep`, an object of the lake cannot be read.
    """
    if deep and choice.timed:
        raise ValueError("the rows of the lake are counted whole: leave the time out")
    auditor = _Auditor(clients, ledger, lake, choice)
    facts = auditor.facts()
    settled = [settle(line, found) for line, found in sorted(facts.items(), key=lambda item: (item[0][:2], item[1].ordinal))]
    if choice.timed:
        settled = [within(one, auditor.spans[one.line]) for one in settled if one.line in auditor.spans]
    return Books(lines=tuple(settled), lake=auditor.count_rows(facts) if deep else None)


class _Auditor:
    def __init__(self, clients: Clients, ledger: str, lake: str, choice: Choice) -> None:
        self._clients = clients
        self._ledger = ledger
        self._lake = lake
        self._choice = choice
        self.spans: dict[Line, Span] = {}  # of a line: the first and last number that was claimed in the time
        self._data: dict[str, set[str]] = {}  # prefix of a stream's day -> keys that are data

    def facts(self) -> dict[Line, Facts]:
        return {line: self._line(line, ordinal) for line, ordinal in self._lines()}

    # The ledger

    def _lines(self) -> Iterator[tuple[Line, int]]:
        """Yield every line in the registry that was asked for, with its ordinal."""
        only = self._choice.device
        shards = range(keys.SHARDS) if only is None else [keys.shard(only)]
        for shard in shards:
            prefix = "" if only is None else f"{only}|"
            for item in self._query(keys.registry_pk(shard), prefix):
                device, stream = keys.split_registry_sk(item["sk"]["S"])
                for index, epoch in enumerate(item["epochs"]["L"]):
                    line = Line(device, stream, epoch["S"])
                    if self._choice.fits(line):
                        yield line, index + 1

    def _line(self, line: Line, ordinal: int) -> Facts:
        facts = Facts(ordinal=ordinal)
        claims: list[tuple[int, int, str, int]] = []
        for item in self._query(line.pk, ""):
            sk = item["sk"]["S"]
            if sk.startswith(keys.CLAIM):
                first, last = int(item["first"]["N"]), int(item["last"]["N"])
                claimed = claimed_at(item)
                claims.append((first, last, item["K"]["S"], claimed))
                if self._choice.covers(claimed):
                    low, high = self.spans.get(line, (first, last))
                    self.spans[line] = min(low, first), max(high, last)
            elif sk.startswith(keys.FOLDED):
                for first, last in keys.read_ranges(item["ranges"]["S"]):
                    facts.received.add(first, last)
            elif sk.startswith(keys.NOTICE):
                _, first, last = sk.split("|")
                facts.noticed[item["reason"]["S"]].add(int(first), int(last))
        too_late = time.time() - keys.LOST_DAYS * 86_400
        for first, last, key, claimed in claims:  # only now: an object is put after its claims
            if self._is_data(key):
                facts.received.add(first, last)
            else:
                (facts.claimed if claimed >= too_late else facts.lost).add(first, last)
        return facts

    def _query(self, pk: str, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self._clients.dynamodb.get_paginator("query").paginate(
            TableName=self._ledger,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)" if prefix else "pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}, **({":prefix": {"S": prefix}} if prefix else {})},
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]

    # The lake

    def _is_data(self, key: str) -> bool:
        prefix = key.rpartition("/")[0] + "/"
        if prefix not in self._data:
            self._data[prefix] = set(self._data_keys(prefix))
        return key in self._data[prefix]

    def _data_keys(self, prefix: str) -> Iterator[str]:
        for page in self._clients.s3.get_paginator("list_objects_v2").paginate(Bucket=self._lake, Prefix=prefix):
            for entry in page.get("Contents", []):
                if entry["Size"] > len(keys.VOID):
                    yield entry["Key"]

    def count_rows(self, facts: dict[Line, Facts]) -> books.LakeBooks:
        """Read every data object of the streams that were asked for, and compare."""
        counted = LakeCount()
        stream = self._choice.stream
        prefix = keys.READINGS if stream is None else f"{keys.READINGS}stream={stream}/"
        for key in self._data_keys(prefix):
            try:
                of_stream, _, _ = keys.split_lake_key(key)
            except EnvelopeError:
                continue  # not ours: somebody keeps other things here
            self._count_object(key, of_stream, counted)
        received = {line: found.received for line, found in facts.items()}
        compared = counted.compare(received)
        if compared.unclaimed:  # what landed since the ledger was read: its claims are there by now
            compared = counted.compare(received | self._again(list(compared.unclaimed), received))
        return compared

    def _count_object(self, key: str, stream: str, counted: LakeCount) -> None:
        seqs: dict[Line, list[int]] = {}
        body = self._clients.s3.get_object(Bucket=self._lake, Key=key)["Body"]
        try:
            for text in io.TextIOWrapper(io.BufferedReader(_Gunzip(body)), encoding="ascii"):
                row = json.loads(text)
                line = Line(row["device"], stream, row["epoch"])
                if self._choice.fits(line):
                    seqs.setdefault(line, []).append(row["seq"])
        except (EOFError, zlib.error, ValueError, LookupError) as error:
            raise DeviceAgentError(
                f"audit: s3://{self._lake}/{key} is no whole object of readings: {error}; look at it, and restore it"
            ) from None
        finally:
            body.close()
        for line, numbers in seqs.items():
            counted.add(line, numbers)

    def _again(self, lines: list[Line], received: dict[Line, Ranges]) -> dict[Line, Ranges]:
        self._data = {}
        fresh = {}
        for line in lines:
            fresh[line] = Ranges(received.get(line, Ranges()))
            for first, last in self._line(line, 0).received:
                fresh[line].add(first, last)
        return fresh


class _Gunzip(io.RawIOBase):
    """Decompresses while it reads, so that an object's size in memory does not matter."""

    def __init__(self, body: Any) -> None:
        self._body = body
        self._decompressor = zlib.decompressobj(31)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = b""
        while not piece and not self._decompressor.eof:
            packed = self._decompressor.unconsumed_tail or self._body.read(2**16)
            if not packed:
                raise EOFError("it is cut short")
            piece = self._decompressor.decompress(packed, len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)
