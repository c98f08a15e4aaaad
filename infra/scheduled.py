"""Construct: a Scheduled Job: one function, when it runs and with what event, its log group and exactly the rights that it needs.

Promises that a run which fails is not repeated at once, neither by EventBridge nor by Lambda, which would try an asynchronous
invocation twice more: the next one on the schedule goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.encryption import OBJECTS, READ_TABLES, TABLES
from infra.functions import RUNTIME, architecture, retention
from infra.lake import READINGS
from infra.metrics import namespace
from infra.review import accept

if TYPE_CHECKING:
    from pathlib import Path

    from aws_cdk import aws_s3 as s3

    from infra.encryption import Encryption
    from infra.lake import Lake
    from infra.settings import Settings
    from infra.tables import Tables


MEMORY = 1769
"""MiB that make one core (Lambda documentation). Reading claims takes the time, and half a core twice as long costs the same."""

TARGETS = 5
"""EventBridge's most targets of a rule (its quotas)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What differs between the jobs; seconds. Each of `inputs` is an invocation a run."""

    name: str
    handler: str
    timeout: int
    schedule: events.Schedule
    inputs: Sequence[Mapping[str, Any]]
    table_actions: tuple[str, ...]
    object_actions: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def writes(self) -> bool:
        """Whether it changes the ledger."""
        return "dynamodb:PutItem" in self.table_actions

    def __post_init__(self) -> None:
        """Refuse a job that never runs."""
        if not self.inputs:
            raise ValueError(f"job {self.name}: no input, so it would never run")


def close_day(settings: Settings) -> Job:
    """Closes the days past, in buckets of devices; five times a night, when no lease of the day before runs."""
    buckets = settings.stage.closing_buckets
    return Job(
        name="close-day",
        handler="lambdas.close_day.handler",
        timeout=900,
        schedule=events.Schedule.cron(minute="15", hour="1-5"),
        inputs=[{"bucket": bucket, "buckets": buckets} for bucket in range(buckets)],
        table_actions=("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"),
        # It creates empty objects where a claim names none, and looks at what is there; it deletes nothing.
        object_actions=("s3:PutObject", "s3:GetObject"),
    )


def check_gaps(settings: Settings) -> Job:
    """Looks for gaps that stay, and for folding that is behind; only reads."""
    stage = settings.stage
    return Job(
        name="check-gaps",
        handler="lambdas.check_gaps.handler",
        timeout=900,
        schedule=events.Schedule.rate(Duration.minutes(stage.gap_check_minutes)),
        inputs=[{"bucket": bucket, "buckets": stage.closing_buckets} for bucket in range(stage.closing_buckets)],
        table_actions=("dynamodb:Query",),
        object_actions=(),
        environment={"GAP_SECONDS": str(stage.gap_seconds)},
    )


class ScheduledFunction(Construct):
    """One function behind one schedule."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's own name
        *,
        settings: Settings,
        job: Job,
        code: Path,
        lake: Lake,
        tables: Tables,
        encryption: Encryption,
    ) -> None:
        super().__init__(scope, id)
        log_group = logs.LogGroup(
            self,
            "Logs",
            retention=retention(settings.stage.log_days),
            removal_policy=RemovalPolicy.RETAIN if settings.stage.keep_data else RemovalPolicy.DESTROY,
        )
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.policy = iam.Policy(self, "Policy", roles=[role])
        self.timeout = Duration.seconds(job.timeout)
        self.function = lambda_.Function(
            self,
            "Function",
            description=f"{settings.name}: {job.name}",
            runtime=RUNTIME,
            architecture=architecture(settings),
            code=lambda_.Code.from_asset(str(code)),
            handler=job.handler,
            role=role.without_policy_updates(),
            log_group=log_group,
            timeout=self.timeout,
            memory_size=MEMORY,
            retry_attempts=0,
            tracing=lambda_.Tracing.ACTIVE if settings.traced else lambda_.Tracing.DISABLED,
            environment={
                "LAKE_BUCKET": lake.bucket.bucket_name,
                "LEDGER_TABLE": tables.ledger.table_name,
                "POWERTOOLS_SERVICE_NAME": job.name,
                "POWERTOOLS_METRICS_NAMESPACE": namespace(settings),
                "POWERTOOLS_LOG_LEVEL": "INFO",
                **job.environment,
            },
        )
        self._allow(job, log_group=log_group, lake=lake, tables=tables, encryption=encryption)
        self.function.node.add_dependency(self.policy)  # or the first invocations are denied
        self._schedule(job)
        self._review(traced=settings.traced)

    def _allow(self, job: Job, *, log_group: logs.LogGroup, lake: Lake, tables: Tables, encryption: Encryption) -> None:
        def allow(actions: Sequence[str], resource: str) -> iam.PolicyStatement:
            return iam.PolicyStatement(actions=list(actions), resources=[resource])

        self.policy.add_statements(
            allow(("logs:CreateLogStream", "logs:PutLogEvents"), log_group.log_group_arn),
            allow(job.table_actions, tables.ledger.table_arn),
            allow(("s3:ListBucket",), lake.bucket.bucket_arn),
            *encryption.statements(service="dynamodb", actions=TABLES if job.writes else READ_TABLES),
        )
        if job.object_actions:
            self.policy.add_statements(
                allow(job.object_actions, lake.bucket.arn_for_objects(f"{READINGS}*")),
                *encryption.statements(service="s3", actions=OBJECTS),
            )
            bucket = Stack.of(self).get_logical_id(cast("s3.CfnBucket", lake.bucket.node.default_child))
            accept(
                self.policy,
                f"AwsSolutions-IAM5[Resource::<{bucket}.Arn>/{READINGS}*]",
                "Objects below the one prefix of the lake; their names hold a random run id.",
            )

    def _schedule(self, job: Job) -> None:
        for at in range(0, len(job.inputs), TARGETS):
            rule = events.Rule(self, f"Schedule{at // TARGETS or ''}", schedule=job.schedule)
            for one in job.inputs[at : at + TARGETS]:
                event = events.RuleTargetInput.from_object(dict(one))
                rule.add_target(targets.LambdaFunction(self.function, event=event, retry_attempts=0))
            accept(
                rule, "Serverless-EventBusDLQ", "A run that could not be started is not kept: the next one of the schedule does its work."
            )

    def _review(self, *, traced: bool) -> None:
        for finding in ("Serverless-LambdaDLQ", "Serverless-LambdaAsyncFailureDestination"):
            reason = "A run that fails is not kept: its alarm rings, and the next run of the schedule goes on where it stopped."
            accept(self.function, finding, reason)
        if traced:
            self.policy.add_statements(
                iam.PolicyStatement(actions=["xray:PutTraceSegments", "xray:PutTelemetryRecords"], resources=["*"]),
            )
            accept(self.policy, "AwsSolutions-IAM5[Resource::*]", "X-Ray has no resource to name; only where -c tracing=on asks for it.")
        else:
            accept(self.function, "Serverless-LambdaTracing", "A few runs a day, each logged; -c tracing=on switches it on.")
