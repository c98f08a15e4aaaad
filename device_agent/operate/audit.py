"""Audit: reads the books of the cloud half from the ledger and the lake, and says whether anything is missing.

Promises
1. Only reads; needs `dynamodb:Query` on the ledger, `s3:ListBucket` on the lake, for `deep` `s3:GetObject` too.
2. What lands meanwhile is at worst pending, never missing: claims are read before the objects that they name are looked for.
3. Never one request per envelope: claims come by the page, objects by listing a stream's day.

How: the registry lists devices, streams and epochs; a query per epoch brings its claims, folded ranges and notices; a claim counts as
received if its object stands in the listing with more bytes than a void one has. `deep` reads every row of the lake besides, and
holds it against the ledger: each (device, stream, epoch, seq) has to be there exactly once.
"""

from __future__ import annotations

import argparse
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from device_agent.errors import ConfigError, DeviceAgentError
from device_agent.operate import books
from device_agent.operate.books import Books, LakeCount
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


def audit(clients: Clients, *, ledger: str, lake: str, device: str | None = None, stream: str | None = None, deep: bool = False) -> Books:
    """Read the books.

    Args:
        clients: where to ask.
        ledger: name of the ledger table.
        lake: name of the lake's bucket.
        device: only this device.
        stream: only this stream.
        deep: read every row of the lake too.

    Raises:
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError: AWS refuses, or cannot be reached.
        DeviceAgentError: with `deep`, an object of the lake cannot be read.
    """
    auditor = _Auditor(clients, ledger, lake, device, stream)
    facts = auditor.facts()
    return Books(
        lines=tuple(
            settle(line, found) for line, found in sorted(facts.items(), key=lambda item: (item[0][:2], item[1].ordinal))
        ),
        lake=auditor.count_rows(facts) if deep else None,
    )  # fmt: skip


class _Auditor:
    def __init__(self, clients: Clients, ledger: str, lake: str, device: str | None, stream: str | None) -> None:
        self._clients = clients
        self._ledger = ledger
        self._lake = lake
        self._device = device
        self._stream = stream
        self._data: dict[str, set[str]] = {}  # prefix of a stream's day -> keys that are data

    def facts(self) -> dict[Line, Facts]:
        return {line: self._line(line, ordinal) for line, ordinal in self._lines()}

    # The ledger

    def _lines(self) -> Iterator[tuple[Line, int]]:
        """Yield every line in the registry that was asked for, with its ordinal."""
        shards = range(keys.SHARDS) if self._device is None else [keys.shard(self._device)]
        for shard in shards:
            prefix = "" if self._device is None else f"{self._device}|"
            for item in self._query(keys.registry_pk(shard), prefix):
                device, stream = keys.split_registry_sk(item["sk"]["S"])
                if self._stream in {None, stream}:
                    for index, epoch in enumerate(item["epochs"]["L"]):
                        yield Line(device, stream, epoch["S"]), index + 1

    def _line(self, line: Line, ordinal: int) -> Facts:
        facts = Facts(ordinal=ordinal)
        claims: list[tuple[int, int, str]] = []
        for item in self._query(line.pk, ""):
            sk = item["sk"]["S"]
            if sk.startswith(keys.CLAIM):
                claims.append((int(item["first"]["N"]), int(item["last"]["N"]), item["K"]["S"]))
            elif sk.startswith(keys.FOLDED):
                for first, last in keys.read_ranges(item["ranges"]["S"]):
                    facts.received.add(first, last)
            elif sk.startswith(keys.NOTICE):
                _, first, last = sk.split("|")
                facts.noticed[item["reason"]["S"]].add(int(first), int(last))
        for first, last, key in claims:  # only now: an object is put after its claims
            (facts.received if self._is_data(key) else facts.claimed).add(first, last)
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
        prefix = keys.READINGS if self._stream is None else f"{keys.READINGS}stream={self._stream}/"
        for key in self._data_keys(prefix):
            try:
                stream, _, _ = keys.split_lake_key(key)
            except EnvelopeError:
                continue  # not ours: somebody keeps other things here
            self._count_object(key, stream, counted)
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
                if self._device in {None, row["device"]}:
                    seqs.setdefault(Line(row["device"], stream, row["epoch"]), []).append(row["seq"])
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


# The command


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--stack", metavar="NAME", help="CloudFormation stack whose outputs name ledger and lake")
    parser.add_argument("--ledger", metavar="TABLE", help="ledger table (instead of --stack)")
    parser.add_argument("--lake", metavar="BUCKET", help="bucket of the lake (instead of --stack)")
    parser.add_argument("--region", help="AWS region (default: as the AWS command line would have it)")
    parser.add_argument("--endpoint-url", metavar="URL", help="of a local cloud")
    parser.add_argument("--device", metavar="ID", help="only this device")
    parser.add_argument("--stream", metavar="NAME", help="only this stream")
    parser.add_argument("--deep", action="store_true", help="read every row of the lake and find what is there twice or not at all")
    parser.add_argument("--json", action="store_true", help="the books as JSON, with all ranges")


def run(args: argparse.Namespace) -> int:
    """Print the books; 0 if they balance, 1 if something is missing or doubled.

    Raises:
        ConfigError: neither a stack nor a ledger and a lake.
        DeviceAgentError: AWS cannot be asked.
    """
    import boto3  # noqa: PLC0415  # not for --help
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    if not args.stack and not (args.ledger and args.lake):
        raise ConfigError("audit: say --stack NAME, or both --ledger TABLE and --lake BUCKET")
    try:
        session = boto3.Session(region_name=args.region)
        outputs = _outputs(session.client("cloudformation", endpoint_url=args.endpoint_url), args.stack) if args.stack else {}
        # A local cloud knows no bucket by its host name.
        config = Config(s3={"addressing_style": "path"}) if args.endpoint_url else Config()
        s3 = session.client("s3", endpoint_url=args.endpoint_url, config=config)
        clients = Clients(session.client("dynamodb", endpoint_url=args.endpoint_url), s3)
        found = audit(
            clients,
            ledger=args.ledger or outputs["LedgerTable"],
            lake=args.lake or outputs["LakeBucket"],
            device=args.device,
            stream=args.stream,
            deep=args.deep,
        )
    except KeyError as error:
        raise ConfigError(f"audit: stack {args.stack} has no output {error}: name the ingestion stack") from None
    except (BotoCoreError, ClientError) as error:
        raise DeviceAgentError(f"audit: {error}") from None
    print(json.dumps(books.document(found), indent=1) if args.json else "\n".join(books.table(found)))
    return 0 if found.balanced else 1


def _outputs(cloudformation: Any, stack: str) -> dict[str, str]:
    [described] = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}
