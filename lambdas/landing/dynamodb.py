"""Adapter: the ledger as a DynamoDB table (keys: `device_agent.wire.ledger`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from device_agent.wire import ledger as keys
from device_agent.wire.envelope import Notice
from device_agent.wire.ledger import Line
from device_agent.wire.ranges import Ranges
from lambdas.landing.ports import Claim, Known, Unknown
from lambdas.landing.retry import Retrying

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]


class LedgerTable:
    """The port `Ledger` on a table. Each write is one conditional request; a repeated one finds its own work and says so."""

    def __init__(self, client: DynamoDBClient, table: str, call: Retrying) -> None:
        self._client = client
        self._table = table
        self._call = call

    def known(self, line: Line) -> Known:
        """Query the ordinal and the folded ranges together; both never change back, so an eventually consistent read will do."""
        ordinal: int | None = None
        folded = Ranges()
        for page in self._pages(line):
            for item in page:
                if item["sk"]["S"] == keys.EPOCH:
                    ordinal = int(item["ordinal"]["N"])
                else:
                    for first, last in keys.read_ranges(item["ranges"]["S"]):
                        folded.add(first, last)
        return Known(ordinal, folded)

    def _pages(self, line: Line) -> Any:
        start: Item = {}
        while True:
            page = self._call(
                self._client.query,
                TableName=self._table,
                KeyConditionExpression="pk = :pk AND sk BETWEEN :low AND :high",
                ExpressionAttributeValues={":pk": {"S": line.pk}, ":low": {"S": keys.KNOWN[0]}, ":high": {"S": keys.KNOWN[1]}},
                **({"ExclusiveStartKey": start} if start else {}),
            )
            yield page["Items"]
            start = page.get("LastEvaluatedKey", {})
            if not start:
                return

    def register(self, line: Line) -> int:
        """Append the epoch to the registry unless it is there; then copy its ordinal beside its claims, where the next one finds it."""
        key = {"pk": {"S": keys.registry_pk(keys.shard(line.device))}, "sk": {"S": keys.registry_sk(line.device, line.stream)}}
        try:
            answer = self._call(
                self._client.update_item,
                TableName=self._table,
                Key=key,
                UpdateExpression="SET epochs = list_append(if_not_exists(epochs, :none), :new)",
                ConditionExpression="attribute_not_exists(epochs) OR NOT contains(epochs, :epoch)",
                ExpressionAttributeValues={":none": {"L": []}, ":new": {"L": [{"S": line.epoch}]}, ":epoch": {"S": line.epoch}},
                ReturnValues="UPDATED_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
            epochs = answer["Attributes"]["epochs"]["L"]
        except ClientError as error:
            epochs = _old(error)["epochs"]["L"]
        ordinal = epochs.index({"S": line.epoch}) + 1
        copy = {"pk": {"S": line.pk}, "sk": {"S": keys.EPOCH}, "ordinal": {"N": str(ordinal)}}
        self._call(self._client.put_item, TableName=self._table, Item=copy)
        return ordinal

    def claim(self, claim: Claim) -> Claim | None:
        """PutItem if absent; a failed condition answers with the item that stands."""
        try:
            self._call(
                self._client.put_item,
                TableName=self._table,
                Item=_item(claim),
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            return from_item(claim.line, _old(error))
        return None

    def move(self, claim: Claim, *, old_key: str) -> bool:
        """PutItem where the item names `old_key`, or my key already (an attempt of mine whose answer was lost)."""
        try:
            self._call(
                self._client.put_item,
                TableName=self._table,
                Item=_item(claim),
                ConditionExpression="K IN (:old, :mine)",
                ExpressionAttributeValues={":old": {"S": old_key}, ":mine": {"S": claim.key}},
            )
        except ClientError:
            return False
        return True

    def notice(self, notice: Notice, *, arrived: int) -> bool:
        """PutItem if absent or the same. Kept for ever: there are few, and they explain gaps that stay."""
        digest = notice.digest()
        item: Item = {
            "pk": {"S": Line(notice.device, notice.stream, notice.epoch).pk},
            "sk": {"S": keys.notice_sk(notice.first, notice.last)},
            "reason": {"S": notice.reason},
            "detail": {"S": notice.detail[:1000]},
            "time": {"N": str(notice.time)},
            "arrived": {"N": str(arrived)},
            "digest": {"S": digest},
        }
        try:
            self._call(
                self._client.put_item,
                TableName=self._table,
                Item=item,
                ConditionExpression="attribute_not_exists(pk) OR digest = :digest",
                ExpressionAttributeValues={":digest": {"S": digest}},
            )
        except ClientError:
            return False
        return True


def _item(claim: Claim) -> Item:
    numbers = {name: {"N": str(getattr(claim, name))} for name in ("first", "last", "count", "lease", "expires")}
    return {
        "pk": {"S": claim.line.pk},
        "sk": {"S": keys.claim_sk(claim.first)},
        "K": {"S": claim.key},
        "digest": {"S": claim.digest},
        **numbers,
    }


def from_item(line: Line, item: Item) -> Claim:
    """Return the claim that an item stores."""
    first, last, lease, expires = (int(item[name]["N"]) for name in ("first", "last", "lease", "expires"))
    return Claim(line=line, first=first, last=last, digest=item["digest"]["S"], key=item["K"]["S"], lease=lease, expires=expires)


def _old(error: ClientError) -> Item:
    """Return the item that made a condition fail."""
    item = error.response.get("Item")
    if not isinstance(item, dict):
        raise Unknown("the ledger does not say which item stands")
    return item
