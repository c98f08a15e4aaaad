"""Adapter: the lake as an S3 bucket. Every create says `If-None-Match: *`; void objects carry the metadata `commit=void`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from lambdas.landing.ports import Commit, NotNow, Unknown
from lambdas.landing.retry import Retrying

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class LakeBucket:
    """The port `Lake` on a bucket. Needs `s3:ListBucket`, or S3 answers 403 for an absent key: then nothing lands, and nothing is lost."""

    def __init__(self, client: S3Client, bucket: str, call: Retrying) -> None:
        self._client = client
        self._bucket = bucket
        self._call = call

    def head(self, key: str) -> Commit | None:
        """HeadObject; S3 is strongly consistent, for absence too."""
        try:
            answer = self._call(self._client.head_object, Bucket=self._bucket, Key=key)
        except ClientError:
            return None
        except Unknown as error:
            raise NotNow(str(error)) from None  # a question changes nothing
        return Commit.VOID if answer["Metadata"].get("commit") == Commit.VOID.value else Commit.DATA

    def create(self, key: str, body: bytes, commit: Commit) -> bool:
        """PutObject, create only; 409 (two at once) is retried, 412 means that it exists."""
        try:
            self._call(
                self._client.put_object,
                Bucket=self._bucket,
                Key=key,
                Body=body,
                IfNoneMatch="*",
                ContentType="application/gzip",
                Metadata={"commit": commit.value},
            )
        except ClientError:
            return False
        return True
