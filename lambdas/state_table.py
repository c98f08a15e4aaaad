"""Adapter: the port `States` on a DynamoDB table (keys: `device_agent.wire.ledger`)."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from device_agent.wire import ledger as keys
from device_agent.wire.block import Payload
from device_agent.wire.envelope import rfc3339
from lambdas.landing.ports import Unknown
from lambdas.landing.retry import Retrying
from lambdas.latest import Latest, Place, Position, Standing, standing

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: An item has at most 400 KB, names and keys included (DynamoDB quotas); the other attributes stay far below 4 KB.
MAX_VALUE = 400 * 1024 - 4096
_NEWER = "attribute_not_exists(pk) OR ordinal < :ordinal OR (ordinal = :ordinal AND seq < :seq)"
_NEWER_BY_CLOCK = (
    "attribute_not_exists(pk) OR (ordinal < :ordinal AND (attribute_not_exists(believed) OR believed <= :believed))"
    " OR (ordinal = :ordinal AND seq < :seq)"
)


class StateTable:
    """Positions and latest values; each write is one conditional PutItem."""

    def __init__(self, client: DynamoDBClient, table: str, call: Retrying) -> None:
        self._client = client
        self._table = table
        self._call = call

    def advance(self, position: Position) -> Standing:
        """Put the position if it is newer; the item that stands says the rest."""
        item: dict[str, Any] = {"epoch": {"S": position.epoch}, "received": {"S": rfc3339(position.received)}}
        if position.believed is not None:
            item["believed"] = {"N": str(position.believed)}
        kept = self._put(position.device, keys.position_sk(position.stream), position.place, item)
        if kept is None:
            return Standing.ADVANCED
        found = standing(position.place, kept)
        return Standing.SUPERSEDED if found is Standing.ADVANCED else found  # refused, so its epoch was seen late

    def put(self, latest: Latest) -> bool:
        """Put the value if it is newer."""
        item = {
            "received": {"S": rfc3339(latest.received)},
            "clock": {"S": "synced" if latest.synced else "unsynced"},
            **({"client": {"S": latest.client}} if latest.client is not None else {}),
            **({"topic": {"S": latest.topic}} if latest.topic is not None else {}),
            **_value(latest.payload),
        }
        return self._put(latest.device, keys.topic_sk(latest.stream, latest.topic or ""), latest.place, item) is None

    def _put(self, device: str, sk: str, place: Place, item: dict[str, Any]) -> Place | None:
        """Put an item if it is newer than the one that stands: None, else the place of that."""
        order = {"ordinal": {"N": str(place.ordinal)}, "seq": {"N": str(place.seq)}}
        clock = {"believed": item["believed"]} if "believed" in item else {}
        try:
            self._call(
                self._client.put_item,
                TableName=self._table,
                Item={"pk": {"S": device}, "sk": {"S": sk}, **order, **item},
                ConditionExpression=_NEWER_BY_CLOCK if clock else _NEWER,
                ExpressionAttributeValues={f":{name}": value for name, value in (order | clock).items()},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            kept = error.response.get("Item")
            if not isinstance(kept, dict):
                raise Unknown("the state table does not say which item stands") from None
            return Place(int(kept["ordinal"]["N"]), int(kept["seq"]["N"]))
        return None


def _value(payload: Payload) -> dict[str, Any]:
    """Return the payload as an attribute, as in the lake; or how large it is, if an item cannot hold it."""
    if isinstance(payload, list):
        frames = [b64encode(frame).decode("ascii") for frame in payload]
        size = sum(len(frame) + 1 for frame in frames) + 3  # each element has a byte of its own (DynamoDB item sizes)
        if size <= MAX_VALUE:
            return {"frames": {"L": [{"S": frame} for frame in frames]}}
        return {"too_large": {"N": str(sum(map(len, payload)))}}
    try:
        text, name = payload.decode(), "data"
    except UnicodeDecodeError:
        text, name = b64encode(payload).decode("ascii"), "data_base64"
    size = len(payload) if name == "data" else len(text)
    return {name: {"S": text}} if size <= MAX_VALUE else {"too_large": {"N": str(len(payload))}}
