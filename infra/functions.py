"""Construct: an Event-Driven Consumer: one function, its queue, its log group and exactly the rights that it needs.

Promises: partial batch responses are on, a batch is invisible for longer than the function and its retries can take, logs
have an end, and the role names single actions on single resources.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.encryption import OBJECTS, RECEIVE, SEND, TABLES
from infra.lake import READINGS
from infra.metrics import namespace
from infra.review import accept

if TYPE_CHECKING:
    from pathlib import Path

    from aws_cdk import aws_dynamodb as dynamodb
    from aws_cdk import aws_s3 as s3

    from infra.encryption import Encryption
    from infra.lake import Lake
    from infra.queues import Channel
    from infra.settings import Settings
    from infra.tables import Tables

RUNTIME = lambda_.Runtime.PYTHON_3_14

LEDGER_ACTIONS = ("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:Query")
STATE_ACTIONS = ("dynamodb:PutItem",)
"""Each write is conditional, and a refusal brings the item that stands: state is never read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """What differs between the functions; seconds, MiB, records a batch."""

    name: str
    handler: str
    timeout: int
    memory: int
    batch: int
    window: int
    concurrency: int

    @property
    def visibility(self) -> Duration:
        """At least six times the function's timeout plus the window: what Lambda asks for, so that a throttled batch can be retried."""
        return Duration.seconds(6 * self.timeout + self.window)


def archive(settings: Settings) -> Consumer:
    """Lands telemetry: big batches, since each makes one object per stream. 20 s of window fill them."""
    return Consumer(
        name="archive",
        handler="lambdas.archive.handler",
        timeout=60,
        memory=1024,
        batch=1000,
        window=20,
        concurrency=settings.stage.archive_concurrency,
    )


def state(settings: Settings) -> Consumer:
    """Lands events and applies them in order; FIFO allows 10 records a batch and no window."""
    return Consumer(
        name="state",
        handler="lambdas.state.handler",
        timeout=30,
        memory=512,
        batch=10,
        window=0,
        concurrency=settings.stage.state_concurrency,
    )


class ConsumerFunction(Construct):
    """One function behind one channel."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's own name
        *,
        settings: Settings,
        consumer: Consumer,
        code: Path,
        channel: Channel,
        lake: Lake,
        tables: Tables,
        encryption: Encryption,
    ) -> None:
        super().__init__(scope, id)
        self._encryption = encryption
        log_group = logs.LogGroup(
            self,
            "Logs",
            retention=retention(settings.stage.log_days),
            removal_policy=RemovalPolicy.RETAIN if settings.stage.keep_data else RemovalPolicy.DESTROY,
        )
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.policy = iam.Policy(self, "Policy", roles=[role])
        self.function = lambda_.Function(
            self,
            "Function",
            description=f"{settings.name}: {consumer.name}",
            runtime=RUNTIME,
            architecture=architecture(settings),
            code=lambda_.Code.from_asset(str(code)),
            handler=consumer.handler,
            role=role.without_policy_updates(),
            log_group=log_group,
            timeout=Duration.seconds(consumer.timeout),
            memory_size=consumer.memory,
            # Never less than the mapping's maximum: what its pollers could not start would be throttled, and count as a receive.
            reserved_concurrent_executions=consumer.concurrency if settings.stage.reserve_concurrency else None,
            tracing=lambda_.Tracing.ACTIVE if settings.traced else lambda_.Tracing.DISABLED,
            environment={
                "LAKE_BUCKET": lake.bucket.bucket_name,
                "LEDGER_TABLE": tables.ledger.table_name,
                "DLQ_URL": channel.dead_letters.queue_url,
                "POWERTOOLS_SERVICE_NAME": consumer.name,
                "POWERTOOLS_METRICS_NAMESPACE": namespace(settings),
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
        )
        self.timeout = Duration.seconds(consumer.timeout)
        self._allow_logs(log_group)
        self._allow_queues(channel)
        self._allow_landing(lake=lake, ledger=tables.ledger)
        self.function.node.add_dependency(self.policy)  # or the first invocations are denied
        self.mapping = self._map(channel=channel, consumer=consumer)
        self._review(lake)
        self._trace(on=settings.traced)

    def use_state(self, table: dynamodb.Table) -> None:
        """Hand over the state table: its name and the right to put items."""
        self.function.add_environment("STATE_TABLE", table.table_name)
        self._allow(STATE_ACTIONS, table.table_arn)

    def _map(self, *, channel: Channel, consumer: Consumer) -> lambda_.EventSourceMapping:
        return lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=self.function,
            event_source_arn=channel.queue.queue_arn,
            batch_size=consumer.batch,
            max_batching_window=Duration.seconds(consumer.window) if consumer.window else None,
            max_concurrency=consumer.concurrency,
            report_batch_item_failures=True,
        )

    def _allow(self, actions: tuple[str, ...], *resources: str) -> None:
        self.policy.add_statements(iam.PolicyStatement(actions=list(actions), resources=list(resources)))

    def _allow_logs(self, log_group: logs.LogGroup) -> None:
        self._allow(("logs:CreateLogStream", "logs:PutLogEvents"), log_group.log_group_arn)

    def _allow_queues(self, channel: Channel) -> None:
        self._allow(
            ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
            channel.queue.queue_arn,
        )
        self._allow(("sqs:SendMessage",), channel.dead_letters.queue_arn)
        self.policy.add_statements(*self._encryption.statements(service="sqs", actions=tuple(dict.fromkeys((*RECEIVE, *SEND)))))

    def _allow_landing(self, *, lake: Lake, ledger: dynamodb.Table) -> None:
        self._allow(LEDGER_ACTIONS, ledger.table_arn)
        self._allow(("s3:PutObject", "s3:GetObject"), lake.bucket.arn_for_objects(f"{READINGS}*"))
        # Without it HEAD answers 403 for a key that does not exist, and landing could not tell absent from forbidden.
        self._allow(("s3:ListBucket",), lake.bucket.bucket_arn)
        self.policy.add_statements(
            *self._encryption.statements(service="s3", actions=OBJECTS),
            *self._encryption.statements(service="dynamodb", actions=TABLES),
        )

    def _review(self, lake: Lake) -> None:
        bucket = Stack.of(self).get_logical_id(cast("s3.CfnBucket", lake.bucket.node.default_child))
        accept(
            self.policy,
            f"AwsSolutions-IAM5[Resource::<{bucket}.Arn>/{READINGS}*]",
            "The only wildcard: objects below the one prefix of the lake that landing creates; their names hold a random run id.",
        )
        accept(
            self.function,
            "Serverless-LambdaDLQ",
            "For asynchronous invocations; this function is invoked by its queue alone, and the queue has a dead-letter queue.",
        )
        accept(
            self.mapping,
            "Serverless-LambdaEventSourceMappingDestination",
            "Lambda has on-failure destinations for streams only; an SQS source has its dead-letter queue instead.",
        )

    def _trace(self, *, on: bool) -> None:
        if on:
            self._allow(("xray:PutTraceSegments", "xray:PutTelemetryRecords"), "*")
            accept(self.policy, "AwsSolutions-IAM5[Resource::*]", "X-Ray has no resource to name; only where -c tracing=on asks for it.")
            return
        accept(
            self.function,
            "Serverless-LambdaTracing",
            "Every invocation would pay for a trace that begins at the queue: devices start none. -c tracing=on switches it on.",
        )


def architecture(settings: Settings) -> lambda_.Architecture:
    """Return CDK's name for the settings' processor."""
    return lambda_.Architecture.ARM_64 if settings.arch == "arm64" else lambda_.Architecture.X86_64


def retention(days: int) -> logs.RetentionDays:
    """Return CDK's name for a stage's `log_days`."""
    names = {7: "ONE_WEEK", 30: "ONE_MONTH", 90: "THREE_MONTHS", 365: "ONE_YEAR"}
    return logs.RetentionDays[names[days]]
