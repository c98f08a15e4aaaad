"""Stack: queues, functions, lake, tables, alarms. Everything that a reading passes between the device and SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import CfnOutput, Stack, Tags

from infra.alarms import Alarms
from infra.dashboard import Dashboard
from infra.device_role import DevicePolicy
from infra.emptying import EmptiedLake
from infra.encryption import Encryption
from infra.functions import Consumer, ConsumerFunction, archive, state
from infra.lake import TABLE, Lake
from infra.queues import Channel
from infra.scheduled import Job, ScheduledFunction, check_gaps, close_day
from infra.tables import Tables

if TYPE_CHECKING:
    from pathlib import Path

    from aws_cdk import aws_iam as iam
    from constructs import Construct

    from infra.settings import Settings

TELEMETRY_RECEIVES = 50
EVENTS_RECEIVES = 100
"""How often a message may come back before it is buried: half an hour without DynamoDB must not bury good data. What
cannot be decoded does not wait for it: the function moves it to the dead-letter queue itself."""


class IngestionStack(Stack):
    """Composes the constructs; holds no resource of its own."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, code: Path) -> None:  # noqa: A002 - CDK's own name
        super().__init__(
            scope,
            id,
            description=f"{settings.name}: ingestion of device readings",
            termination_protection=settings.stage.keep_data,
        )
        Tags.of(self).add("application", "device-agent")
        Tags.of(self).add("stage", settings.stage.name)
        self._settings = settings
        self._encryption = Encryption(self, "Encryption", settings=settings)
        self.lake = Lake(self, "Lake", settings=settings, encryption=self._encryption)
        self.tables = Tables(self, "Tables", settings=settings, encryption=self._encryption)
        archiver, applier = archive(settings), state(settings)
        self.telemetry = self._channel("Telemetry", fifo=False, consumer=archiver, receives=TELEMETRY_RECEIVES)
        self.events = self._channel("Events", fifo=True, consumer=applier, receives=EVENTS_RECEIVES)
        self.archive = self._consumer("Archive", code=code, channel=self.telemetry, consumer=archiver)
        self.state = self._consumer("State", code=code, channel=self.events, consumer=applier)
        self.state.use_state(self.tables.state)
        self.close_day = self._job("CloseDay", code=code, job=close_day(settings))
        self.check_gaps = self._job("CheckGaps", code=code, job=check_gaps(settings))
        if not settings.stage.keep_data:
            emptied = EmptiedLake(self, "Emptied", settings=settings, lake=self.lake, code=code)
            emptied.before(self.archive.mapping)
            emptied.before(self.state.mapping)
            emptied.before(self.close_day)
        self._devices = DevicePolicy(self, "Devices", channels=[self.telemetry, self.events], encryption=self._encryption)
        channels = {"Telemetry": self.telemetry, "Events": self.events}
        functions = {"Archive": self.archive, "State": self.state}
        self.alarms = self._alarms(channels=channels, functions=functions)
        jobs = {"CloseDay": self.close_day, "CheckGaps": self.check_gaps}
        Dashboard(self, "Dashboard", settings=settings, channels=channels, functions=functions, jobs=jobs, alarms=self.alarms)
        self._outputs()

    @property
    def device_policy(self) -> iam.ManagedPolicy:
        """What the identity stack attaches to the device role."""
        return self._devices.policy

    def _channel(self, id_: str, *, fifo: bool, consumer: Consumer, receives: int) -> Channel:
        return Channel(
            self,
            id_,
            settings=self._settings,
            encryption=self._encryption,
            fifo=fifo,
            visibility=consumer.visibility,
            max_receive_count=receives,
        )

    def _consumer(self, id_: str, *, code: Path, channel: Channel, consumer: Consumer) -> ConsumerFunction:
        return ConsumerFunction(
            self,
            id_,
            settings=self._settings,
            consumer=consumer,
            code=code,
            channel=channel,
            lake=self.lake,
            tables=self.tables,
            encryption=self._encryption,
        )

    def _job(self, id_: str, *, code: Path, job: Job) -> ScheduledFunction:
        return ScheduledFunction(
            self, id_, settings=self._settings, job=job, code=code, lake=self.lake, tables=self.tables, encryption=self._encryption
        )

    def _alarms(self, *, channels: dict[str, Channel], functions: dict[str, ConsumerFunction]) -> Alarms:
        alarms = Alarms(self, "Alarms", settings=self._settings, encryption=self._encryption)
        for name, channel in channels.items():
            alarms.watch_channel(name, channel)
        for name, consumer in functions.items():
            alarms.watch_function(name, consumer)
        alarms.watch_job(
            "CloseDay",
            self.close_day,
            meaning="Closing the days past failed in part; the next run goes on. If it goes on failing, see its log group.",
        )
        alarms.watch_job("CheckGaps", self.check_gaps, meaning="Looking for gaps failed; the next run looks again. See its log group.")
        alarms.watch_books()
        return alarms

    def _outputs(self) -> None:
        outputs = {
            "Region": self.region,
            "TelemetryQueueUrl": self.telemetry.queue.queue_url,
            "EventsQueueUrl": self.events.queue.queue_url,
            "TelemetryDeadLetterQueueUrl": self.telemetry.dead_letters.queue_url,
            "EventsDeadLetterQueueUrl": self.events.dead_letters.queue_url,
            "LakeBucket": self.lake.bucket.bucket_name,
            "LedgerTable": self.tables.ledger.table_name,
            "StateTable": self.tables.state.table_name,
            "GlueDatabase": self.lake.database_name,
            "GlueTable": TABLE,
            "AthenaWorkgroup": self.lake.workgroup_name,
            "ArchiveFunction": self.archive.function.function_name,
            "StateFunction": self.state.function.function_name,
            "CloseDayFunction": self.close_day.function.function_name,
            "CheckGapsFunction": self.check_gaps.function.function_name,
            "AlarmTopicArn": self.alarms.topic.topic_arn,
            "DevicePolicyArn": self.device_policy.managed_policy_arn,
        }
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)
