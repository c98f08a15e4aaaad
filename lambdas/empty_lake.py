"""Custom resource: empties the lake when a stage that does not keep its data is removed; CloudFormation deletes no bucket with objects.

Promises to answer CloudFormation in every case, so that a stack never waits for it; and to delete only on `Delete`, only in the bucket that
the template names. CDK's own `auto_delete_objects` does the same in Node.js with an SDK that the local cloud does not have.
"""

from __future__ import annotations

import json
import os
import ssl
import urllib.request
from typing import Any

import boto3


def handler(event: dict[str, Any], _context: Any) -> None:
    """Answer a request of CloudFormation (documentation: custom resource request objects)."""
    status, reason = "SUCCESS", "nothing to do"
    try:
        if event["RequestType"] == "Delete":
            reason = f"{empty(boto3.client('s3'), event['ResourceProperties']['Bucket'])} objects deleted"
    except Exception as error:  # noqa: BLE001  # whatever it was: without an answer the stack waits for an hour
        status, reason = "FAILED", f"the lake is not empty: {error}; empty it and remove the stack again"
    print(json.dumps({"request": event.get("RequestType"), "status": status, "reason": reason}))
    _answer(event, status=status, reason=reason)


def empty(s3: Any, bucket: str) -> int:
    """Delete every object; return how many there were."""
    count = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        keys = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
        if keys:
            failed = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True}).get("Errors", [])
            if failed:
                raise RuntimeError(f"{failed[0].get('Key')}: {failed[0].get('Code')}")
            count += len(keys)
    return count


def _answer(event: dict[str, Any], *, status: str, reason: str) -> None:
    body = {
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": event.get("PhysicalResourceId", "contents-of-the-lake"),
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    request = urllib.request.Request(event["ResponseURL"], data=json.dumps(body).encode(), method="PUT", headers={"Content-Type": ""})  # noqa: S310  # CloudFormation's own, presigned
    trust = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
    with urllib.request.urlopen(request, timeout=30, context=trust) as answer:  # noqa: S310  # as above
        answer.read()
