"""Both protocols of SQS: AWS JSON 1.0 (boto3 since 1.28.82) and Query with XML answers (before)."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from tests.fakes.sqs.model import SqsError

#: Codes that the Query protocol spells differently: AWS.SimpleQueueService.<code>, or another name.
QUERY_CODES = {
    "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDeletedRecently": "AWS.SimpleQueueService.QueueDeletedRecently",
    "BatchRequestTooLong": "AWS.SimpleQueueService.BatchRequestTooLong",
    "TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    "BatchEntryIdsNotDistinct": "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    "EmptyBatchRequest": "AWS.SimpleQueueService.EmptyBatchRequest",
    "InvalidBatchEntryId": "AWS.SimpleQueueService.InvalidBatchEntryId",
    "UnsupportedOperation": "AWS.SimpleQueueService.UnsupportedOperation",
    "KmsDisabled": "KMS.DisabledException",
    "KmsAccessDenied": "KMS.AccessDeniedException",
    "KmsThrottled": "KMS.ThrottlingException",
    "KmsNotFound": "KMS.NotFoundException",
    "KmsInvalidState": "KMS.InvalidStateException",
}
XMLNS = "http://queue.amazonaws.com/doc/2012-11-05/"
#: List members of the requests, and how the Query protocol flattens them.
_LISTS = {"SendMessageBatchRequestEntry": "Entries", "DeleteMessageBatchRequestEntry": "Entries", "AttributeName": "AttributeNames"}


class Json:
    """AWS JSON 1.0, with the header that tells older codes."""

    content_type = "application/x-amz-json-1.0"

    @staticmethod
    def request(headers: Any, body: bytes) -> tuple[str, dict[str, Any]]:
        return headers["X-Amz-Target"].rpartition(".")[2], json.loads(body)

    @staticmethod
    def answer(_operation: str, result: dict[str, Any]) -> bytes:
        return json.dumps(result).encode()

    @staticmethod
    def error(error: SqsError) -> tuple[bytes, dict[str, str]]:
        fault = "Sender" if error.sender_fault else "Receiver"
        headers = {"x-amzn-query-error": f"{QUERY_CODES.get(error.code, error.code)};{fault}"}
        return json.dumps({"__type": f"com.amazonaws.sqs#{error.code}", "message": error.message}).encode(), headers


class Query:
    """Form in, XML out."""

    content_type = "text/xml"

    @staticmethod
    def request(_headers: Any, body: bytes) -> tuple[str, dict[str, Any]]:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
        operation = fields.pop("Action")
        result: dict[str, Any] = {}
        for name, value in fields.items():
            _place(result, name.split("."), value)
        return operation, {name: _listed(value) for name, value in result.items()}

    @staticmethod
    def answer(operation: str, result: dict[str, Any]) -> bytes:
        inner = "".join(_xml(_element(operation, name), value) for name, value in result.items())
        wrapped = f"<{operation}Result>{inner}</{operation}Result>" if result else ""
        metadata = "<ResponseMetadata><RequestId>0</RequestId></ResponseMetadata>"
        return f'<?xml version="1.0"?><{operation}Response xmlns="{XMLNS}">{wrapped}{metadata}</{operation}Response>'.encode()

    @staticmethod
    def error(error: SqsError) -> tuple[bytes, dict[str, str]]:
        fault = "Sender" if error.sender_fault else "Receiver"
        code, message = escape(QUERY_CODES.get(error.code, error.code)), escape(error.message)
        text = f"<Error><Type>{fault}</Type><Code>{code}</Code><Message>{message}</Message><Detail/></Error>"
        return f'<?xml version="1.0"?><ErrorResponse xmlns="{XMLNS}">{text}<RequestId>0</RequestId></ErrorResponse>'.encode(), {}


Protocol = type[Json] | type[Query]


def protocol_of(headers: Any) -> Protocol:
    """The protocol that a request speaks."""
    return Json if headers.get("X-Amz-Target") else Query


def _place(tree: dict[str, Any], path: list[str], value: str) -> None:
    name = _LISTS.get(path[0], path[0])
    if len(path) == 1:
        tree[name] = value
    else:
        _place(tree.setdefault(name, {}), path[1:], value)


def _listed(value: Any) -> Any:
    """Members 1, 2, ... are a list; attributes Name/Value pairs are a map."""
    if not isinstance(value, dict):
        return value
    if value and all(re.fullmatch(r"[0-9]+", key) for key in value):
        return [_listed(value[key]) for key in sorted(value, key=int)]
    return {key: _listed(member) for key, member in value.items()}


def _element(operation: str, name: str) -> str:
    entries = {"Successful": f"{operation}ResultEntry", "Failed": "BatchResultErrorEntry", "Attributes": "Attribute", "Messages": "Message"}
    return entries.get(name, name)


def _xml(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "".join(_xml(name, member) for member in value)
    if name == "Attribute":
        return "".join(f"<Attribute><Name>{escape(key)}</Name><Value>{escape(one)}</Value></Attribute>" for key, one in value.items())
    if isinstance(value, dict):
        return f"<{name}>" + "".join(_xml(key, member) for key, member in value.items()) + f"</{name}>"
    if isinstance(value, bool):
        value = str(value).lower()
    return f"<{name}>{escape(str(value))}</{name}>"
