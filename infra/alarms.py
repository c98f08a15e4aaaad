"""Construct: the alarms that tell an operator before data is lost, and the topic that carries them.

An alarm stands for something to do (docs/operations.md says what): a dead-letter queue that is not empty, messages that wait too
long, a function that fails, is throttled or nearly runs out of time, an envelope that contradicts the lake. Nothing is looked at by
device: CloudWatch bills each set of dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.metrics import ours
from infra.review import accept

if TYPE_CHECKING:
    from infra.encryption import Encryption
    from infra.functions import ConsumerFunction
    from infra.queues import Channel
    from infra.scheduled import ScheduledFunction
    from infra.settings import Settings

_PERIOD = Duration.minutes(5)
_NEAR = 0.9
"""Share of its timeout that a function does not need: landing stops taking messages when a third of its time is left."""


class Alarms(Construct):
    """One topic; alarms are added by `watch_channel` and `watch_function`."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, encryption: Encryption) -> None:  # noqa: A002
        super().__init__(scope, id)
        self._settings = settings
        self.all: list[cloudwatch.Alarm] = []
        self.topic = sns.Topic(self, "Topic", display_name=f"{settings.name} alarms", master_key=encryption.key, enforce_ssl=True)
        self.topic.add_to_resource_policy(
            # `enforce_ssl` gives the topic a policy, which takes the place of SNS's own: without this statement no alarm may publish.
            iam.PolicyStatement(
                sid="AlarmsOfThisAccount",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
        encryption.allow_service("cloudwatch.amazonaws.com")
        if encryption.key is None:
            accept(
                self.topic,
                "AwsSolutions-SNS2",
                "An alarm's text holds names and counts, no reading. CloudWatch cannot publish under the key that AWS manages "
                "for SNS, and a customer key costs $1 a month: -c sse=kms brings one.",
            )

    def watch_channel(self, name: str, channel: Channel) -> None:
        """Something lies in the dead-letter queue; something has waited for longer than the stage allows."""
        self._alarm(
            f"{name}DeadLetters",
            metric=channel.dead_letters.metric_approximate_number_of_messages_visible(period=_PERIOD, statistic="Maximum"),
            threshold=1,
            meaning=f"The dead-letter queue of {name} is not empty. Look with: device-agent deadletters list",
        )
        self._alarm(
            f"{name}Age",
            metric=channel.queue.metric_approximate_age_of_oldest_message(period=_PERIOD, statistic="Maximum"),
            threshold=self._settings.stage.oldest_message_alarm_seconds,
            meaning=f"A message of {name} waits for longer than it should: its function fails, is throttled, or cannot keep up.",
        )

    def watch_function(self, name: str, consumer: ConsumerFunction) -> None:
        """The function raised, or was throttled. A record that fails alone is no error: it comes back, or is dead-lettered."""
        self._alarm(
            f"{name}Errors",
            metric=consumer.function.metric_errors(period=_PERIOD, statistic="Sum"),
            threshold=1,
            meaning=f"Invocations of {name} failed as a whole; their messages come back. See its log group.",
        )
        self._alarm(
            f"{name}Throttles",
            metric=consumer.function.metric_throttles(period=_PERIOD, statistic="Sum"),
            threshold=1,
            meaning=f"{name} was throttled: the account's concurrency is used up.",
        )
        self._alarm(
            f"{name}Duration",
            metric=consumer.function.metric_duration(period=_PERIOD, statistic="Maximum"),
            threshold=_NEAR * consumer.timeout.to_milliseconds(),
            meaning=f"{name} nearly ran out of time: ledger or lake answer slowly, or its batches are too large. Nothing is lost.",
        )
        self._alarm(
            f"{name}Conflicts",
            metric=ours("Conflicts", name, settings=self._settings, period=_PERIOD),
            threshold=1,
            meaning=f"{name} received two contents for one envelope id: two boards share an epoch, or something forges messages. "
            "The first is in the lake, the other in the dead-letter queue: device-agent deadletters show",
        )

    def watch_job(self, name: str, job: ScheduledFunction, *, meaning: str) -> None:
        """A run of a scheduled function failed."""
        self._alarm(
            f"{name}Errors",
            metric=job.function.metric_errors(period=_PERIOD, statistic="Sum"),
            threshold=1,
            meaning=meaning,
        )

    def watch_books(self) -> None:
        """A gap stays, folding is so far behind that claims may be forgotten before they are folded, or nobody looks for either."""
        period = Duration.minutes(self._settings.stage.gap_check_minutes)
        self._alarm(
            "Gaps",
            metric=ours("Gaps", "check-gaps", settings=self._settings, period=period, statistic="Maximum"),
            threshold=1,
            meaning="Readings are missing that should have come: a later one of the same stream did. Which: device-agent audit",
            missing=cloudwatch.TreatMissingData.IGNORE,  # not all clear because nobody looked
        )
        self._alarm(
            "FoldingBehind",
            metric=ours("FoldingBehindDays", "check-gaps", settings=self._settings, period=period, statistic="Maximum"),
            threshold=30,
            meaning="Claims of 30 days ago are not folded yet, and expire after 60: see the log group of CloseDay.",
            missing=cloudwatch.TreatMissingData.IGNORE,
        )
        self._alarm(
            "Unwatched",
            metric=ours("LinesUnchecked", "check-gaps", settings=self._settings, period=period, statistic="Maximum"),
            threshold=1,
            meaning="Three times in a row CheckGaps did not run, or not to the end: gaps it did not see cannot ring. See its log group.",
            missing=cloudwatch.TreatMissingData.BREACHING,  # a look that does not happen says nothing
            periods=3,
        )

    def _alarm(
        self,
        id_: str,
        *,
        metric: cloudwatch.Metric,
        threshold: float,
        meaning: str,
        missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
        periods: int = 1,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            id_,
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=missing,
            alarm_description=meaning,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        alarm.add_ok_action(actions.SnsAction(self.topic))
        self.all.append(alarm)
