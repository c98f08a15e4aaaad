"""Signature V4 as AWS checks it: date, key, token, and the signature itself (AWS IAM user guide, "Create a signed request")."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import Any

from tests.fakes.sqs.model import SqsError

SKEW = 300.0  # seconds


def check(
    *, method: str, path: str, headers: Any, body: bytes, now: float, keys: dict[str, str], token: str | None = None
) -> None:  # fmt: skip
    """Raise what AWS answers to a request that is not properly signed. `keys`: secret by access key id."""
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/sqs/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})",
        headers.get("Authorization", ""),
    )
    if found is None:
        raise SqsError("MissingAuthenticationToken", "Request is missing Authentication Token", status=403)
    key, day, region, signed, signature = found.groups()
    if key not in keys:
        raise SqsError("InvalidClientTokenId", "The security token included in the request is invalid.", status=403)
    stamp = headers["X-Amz-Date"]
    moment = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    if abs(moment - now) > SKEW:
        raise SqsError(
            "RequestTimeTooSkewed", f"The difference between the request time and the current time is too large: {stamp}", status=403
        )
    if token is not None and headers.get("X-Amz-Security-Token") != token:
        raise SqsError("ExpiredToken", "The security token included in the request is expired", status=403)
    names = signed.split(";")
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in names)
    canonical = f"{method}\n{path}\n\n{lines}\n{signed}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{day}/{region}/sqs/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    secret = f"AWS4{keys[key]}".encode()
    for part in (day, region, "sqs", "aws4_request", text):
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(secret.hex(), signature):
        raise SqsError(
            "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.", status=403
        )
