"""Construct: the customer key of `-c sse=kms`, and which principal may do what with it.

Promises that without a customer key nothing here creates anything or grants anything, so the constructs that use it need
no second code path; and that each grant names the services it may be used through (`kms:ViaService`), so that a device's
credentials cannot decrypt anything by calling KMS themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infra.settings import Settings

SEND = ("kms:GenerateDataKey", "kms:Decrypt")
"""What SQS asks of a sender; Decrypt because it verifies the data key that it reuses."""

RECEIVE = ("kms:Decrypt",)

OBJECTS = ("kms:GenerateDataKey", "kms:Decrypt")

TABLES = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo")
"""What DynamoDB asks of a principal that reads and writes a table under a customer key."""

READ_TABLES = ("kms:Decrypt", "kms:DescribeKey")
"""What it asks of one that only reads."""


class Encryption(Construct):
    """One key, or none."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings) -> None:  # noqa: A002 - CDK's own name
        super().__init__(scope, id)
        self.key: kms.Key | None = None
        if settings.customer_key:
            self.key = kms.Key(
                self,
                "Key",
                description=f"{settings.name}: queues, lake, tables and alarms",
                enable_key_rotation=True,
                removal_policy=RemovalPolicy.RETAIN if settings.stage.keep_data else RemovalPolicy.DESTROY,
            )

    def statements(self, *, service: str, actions: Sequence[str]) -> list[iam.PolicyStatement]:
        """Statements that allow `actions` on the key through `service` (`sqs`, `s3`, `dynamodb`); none without a key."""
        if self.key is None:
            return []
        stack = Stack.of(self)
        return [
            iam.PolicyStatement(
                actions=list(actions),
                resources=[self.key.key_arn],
                conditions={"StringEquals": {"kms:ViaService": f"{service}.{stack.region}.{stack.url_suffix}"}},
            )
        ]

    def allow_service(self, *principals: str) -> None:
        """Let AWS services use the key for their own messages, in this account only."""
        if self.key is None:
            return
        for principal in principals:
            self.key.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[iam.ServicePrincipal(principal)],
                    actions=["kms:GenerateDataKey", "kms:Decrypt"],
                    resources=["*"],
                    conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
                )
            )
