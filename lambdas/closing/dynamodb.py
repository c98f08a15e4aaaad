"""Adapter: closing's view of the ledger table (keys: `device_agent.wire.ledger`).

Reads are eventually consistent, at half the price: see the port. A query that is answered in pages is continued until its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from device_agent.wire import ledger as keys
from device_agent.wire.ledger import Line
from lambdas.closing.ports import Bookmark, Entry, Part, Told
from lambdas.landing.dynamodb import Item, from_item
from lambdas.landing.ports import Claim, NotNow, Unknown
from lambdas.landing.retry import Retrying

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

Answer = TypeVar("Answer")


class ClosingTable:
    """The port `Ledger` of closing on a table."""

    def __init__(self, client: DynamoDBClient, table: str, call: Retrying) -> None:
        self._client = client
        self._table = table
        self._call = call

    def entries(self, shard: int, *, after: str = "") -> Iterator[Entry]:
        """Query a partition of the registry. Marks begin with the padded shard, so they sort as they are read."""
        prefix = f"{shard:02d}|"
        if after > prefix and not after.startswith(prefix):
            return
        sk = after.removeprefix(prefix) if after.startswith(prefix) else ""
        for item in self._query(keys.registry_pk(shard), "sk > :low", low=sk) if sk else self._query(keys.registry_pk(shard)):
            device, stream = keys.split_registry_sk(item["sk"]["S"])
            lines = tuple(Line(device, stream, epoch["S"]) for epoch in item["epochs"]["L"])
            yield Entry(prefix + item["sk"]["S"], lines)

    def parts(self, line: Line) -> list[Part]:
        """Query the folded ranges."""
        return [
            Part(int(item["sk"]["S"].removeprefix(keys.FOLDED)), keys.read_ranges(item["ranges"]["S"]), _version(item))
            for item in self._query(line.pk, "begins_with(sk, :low)", low=keys.FOLDED)
        ]

    def claims(self, line: Line, first: int, last: int) -> Iterator[Claim]:
        """Query claims by number."""
        between = self._query(line.pk, "sk BETWEEN :low AND :high", low=keys.claim_sk(first), high=keys.claim_sk(last))
        return (from_item(line, item) for item in between)

    def newest(self, line: Line) -> Claim | None:
        """Query claims from their end, one of them."""
        for item in self._query(line.pk, "begins_with(sk, :low)", low=keys.CLAIM, backwards=True):
            return from_item(line, item)
        return None

    def notices(self, line: Line) -> Iterator[Told]:
        """Query notices."""
        for item in self._query(line.pk, "begins_with(sk, :low)", low=keys.NOTICE):
            _, first, last = item["sk"]["S"].split("|")
            yield Told(int(first), int(last), item["reason"]["S"], int(item["arrived"]["N"]) / 1e6)

    def write(self, line: Line, part: Part) -> bool:
        """PutItem over the version before."""
        first = part.version == 1
        try:
            self._call(
                self._client.put_item,
                TableName=self._table,
                Item={
                    "pk": {"S": line.pk},
                    "sk": {"S": keys.folded_sk(part.number)},
                    "ranges": {"S": keys.write_ranges(part.ranges)},
                    "version": {"N": str(part.version)},
                },
                ConditionExpression="attribute_not_exists(version)" if first else "version = :old",
                **({} if first else {"ExpressionAttributeValues": {":old": {"N": str(part.version - 1)}}}),
            )
        except ClientError:
            return False
        return True

    def bookmark(self, bucket: int, buckets: int) -> Bookmark:
        """GetItem."""
        answer = self._ask(self._client.get_item, TableName=self._table, Key=_bookmark_key(bucket, buckets))
        item = answer.get("Item", {})
        return Bookmark(item["day"]["S"], item["after"]["S"]) if item else Bookmark("", "")

    def set_bookmark(self, bucket: int, buckets: int, bookmark: Bookmark) -> None:
        """PutItem if it is further on."""
        values = {":day": {"S": bookmark.day}, ":after": {"S": bookmark.after}}
        try:
            self._call(
                self._client.put_item,
                TableName=self._table,
                Item={**_bookmark_key(bucket, buckets), "day": values[":day"], "after": values[":after"]},
                ConditionExpression="attribute_not_exists(pk) OR #day < :day OR (#day = :day AND #after < :after)",
                ExpressionAttributeNames={"#day": "day", "#after": "after"},
                ExpressionAttributeValues=values,
            )
        except ClientError:
            return  # another close-day of this bucket is further on

    def _query(self, pk: str, condition: str = "", *, backwards: bool = False, **values: str) -> Iterator[Item]:
        arguments: Item = {
            "TableName": self._table,
            "KeyConditionExpression": " AND ".join(["pk = :pk", *([condition] if condition else [])]),
            "ExpressionAttributeValues": {f":{name}": {"S": value} for name, value in {"pk": pk, **values}.items()},
            **({"ScanIndexForward": False, "Limit": 1} if backwards else {}),
        }
        while True:
            page = self._ask(self._client.query, **arguments)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _ask(self, method: Callable[..., Answer], **arguments: Any) -> Answer:
        try:
            return self._call(method, **arguments)
        except Unknown as error:
            raise NotNow(str(error)) from None  # a question changes nothing


def _version(item: Item) -> int:
    return int(item["version"]["N"]) if "version" in item else 0


def _bookmark_key(bucket: int, buckets: int) -> Item:
    return {"pk": {"S": keys.CLOSING}, "sk": {"S": keys.closing_sk(bucket, buckets)}}
