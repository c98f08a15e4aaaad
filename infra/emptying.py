"""Construct: a stage that does not keep its data leaves nothing: its lake is emptied before CloudFormation deletes the bucket.

Promises that a stage which keeps its data has no function that may delete anything: then this is never made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aws_cdk import CustomResource, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.functions import RUNTIME, architecture, retention
from infra.review import accept

if TYPE_CHECKING:
    from pathlib import Path

    from aws_cdk import aws_s3 as s3
    from constructs import IDependable

    from infra.lake import Lake
    from infra.settings import Settings

_TIMEOUT = Duration.minutes(15)
"""Deletes 1,000 objects a request: a day of a busy stage in seconds, 15 minutes for millions."""


class EmptiedLake(Construct):
    """The function, its right to delete in this one bucket, and the custom resource that calls it at the end."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, lake: Lake, code: Path) -> None:  # noqa: A002
        super().__init__(scope, id)
        log_group = logs.LogGroup(
            self, "Logs", retention=retention(settings.stage.log_days), removal_policy=RemovalPolicy.DESTROY,
        )  # fmt: skip
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        policy = iam.Policy(self, "Policy", roles=[role])
        policy.add_statements(
            iam.PolicyStatement(actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[log_group.log_group_arn]),
            iam.PolicyStatement(actions=["s3:ListBucket"], resources=[lake.bucket.bucket_arn]),
            iam.PolicyStatement(actions=["s3:DeleteObject"], resources=[lake.bucket.arn_for_objects("*")]),
        )
        self.function = lambda_.Function(
            self,
            "Function",
            description=f"{settings.name}: empties the lake when the stack is removed",
            runtime=RUNTIME,
            architecture=architecture(settings),
            code=lambda_.Code.from_asset(str(code)),
            handler="lambdas.empty_lake.handler",
            role=role.without_policy_updates(),
            log_group=log_group,
            timeout=_TIMEOUT,
            memory_size=256,
        )
        self.resource = CustomResource(
            self,
            "Contents",
            service_token=self.function.function_arn,
            resource_type="Custom::LakeContents",
            service_timeout=_TIMEOUT,
            properties={"Bucket": lake.bucket.bucket_name},
        )
        self.resource.node.add_dependency(policy, lake.bucket)
        self._review(lake, policy)

    def before(self, writer: IDependable) -> None:
        """Have `writer` removed before the lake is emptied, or it would put new objects into it."""
        cast("Construct", writer).node.add_dependency(self.resource)

    def _review(self, lake: Lake, policy: iam.Policy) -> None:
        bucket = Stack.of(self).get_logical_id(cast("s3.CfnBucket", lake.bucket.node.default_child))
        accept(
            policy, f"AwsSolutions-IAM5[Resource::<{bucket}.Arn>/*]", "It empties this one bucket, of a stage that does not keep its data."
        )
        accept(self.function, "Serverless-LambdaDLQ", "CloudFormation waits for the answer and fails the removal without one.")
        accept(self.function, "Serverless-LambdaTracing", "It runs twice in the life of a stack.")
