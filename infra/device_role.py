"""Construct: what a device may do: send to its two queues, ask them for their limits, and nothing else.

A policy of its own, so that it can be tried out without a device role (the identity stack attaches it to one), or given to a
user or role that somebody already has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.encryption import SEND

if TYPE_CHECKING:
    from infra.encryption import Encryption
    from infra.queues import Channel


class DevicePolicy(Construct):
    """One managed policy."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's own name
        *,
        channels: list[Channel],
        encryption: Encryption,
    ) -> None:
        super().__init__(scope, id)
        self.policy = iam.ManagedPolicy(
            self,
            "Policy",
            description="A device of device-agent: send, and read the limits of the queues",
            statements=[
                iam.PolicyStatement(
                    # SendMessage covers SendMessageBatch; GetQueueAttributes is how the agent learns MaximumMessageSize.
                    actions=["sqs:SendMessage", "sqs:GetQueueAttributes"],
                    resources=[channel.queue.queue_arn for channel in channels],
                ),
                *encryption.statements(service="sqs", actions=SEND),
            ],
        )
