"""Construct: the ledger (which envelope landed where, exactly once) and the state table (every device's latest values).

Both are on demand: they cost nothing when idle. Keys are two strings, `pk` and `sk`; what they say is decided by the
functions (`lambdas/landing`, `lambdas/state`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from infra.review import accept

if TYPE_CHECKING:
    from infra.encryption import Encryption
    from infra.settings import Settings

EXPIRES = "expires"
"""Attribute with the epoch second after which DynamoDB may delete an item of the ledger."""


class Tables(Construct):
    """Ledger and state."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, encryption: Encryption) -> None:  # noqa: A002
        super().__init__(scope, id)
        self._settings = settings
        self._encryption = encryption
        self.ledger = self._table("Ledger", expires=EXPIRES)
        self.state = self._table("State", expires=None)

    def _table(self, id_: str, *, expires: str | None) -> dynamodb.Table:
        keep, key = self._settings.stage.keep_data, self._encryption.key
        table = dynamodb.Table(
            self,
            id_,
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute=expires,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED if key else dynamodb.TableEncryption.DEFAULT,
            encryption_key=key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(point_in_time_recovery_enabled=keep),
            deletion_protection=keep,
            removal_policy=RemovalPolicy.RETAIN if keep else RemovalPolicy.DESTROY,
        )
        if not keep:
            accept(
                table,
                "AwsSolutions-DDB3",
                "This stage's data may be lost with the stage; stages that keep data have point-in-time recovery.",
            )
        return table
