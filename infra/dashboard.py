"""Construct: one dashboard, read from top to bottom: does data flow, does anything wait, is anything wrong, how do the functions do.

A healthy day is: the first row moves, the second and third stay at the bottom. It costs $3 a month; the first three of an account
are free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.metrics import ours

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.alarms import Alarms
    from infra.functions import ConsumerFunction
    from infra.queues import Channel
    from infra.scheduled import ScheduledFunction
    from infra.settings import Settings

_PERIOD = Duration.minutes(5)
_WIDTH = 24  # columns of a dashboard
_HELP = """\
# {name}
**Flow** shows readings as they land. **Waiting** and **Wrong** are at 0 on a good day. What to do about each: docs/operations.md.
Books: `device-agent audit` · dead letters: `device-agent deadletters list` · devices: `device-agent fleet ls`
"""


class Dashboard(Construct):
    """Everything that an operator looks at first, on one page."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's own name
        *,
        settings: Settings,
        channels: Mapping[str, Channel],
        functions: Mapping[str, ConsumerFunction],
        jobs: Mapping[str, ScheduledFunction],
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, id)
        self._settings = settings
        self._channels = channels
        self._functions = functions
        self._jobs = jobs
        self.dashboard = cloudwatch.Dashboard(self, "Dashboard", dashboard_name=settings.name, default_interval=Duration.hours(12))
        self.dashboard.add_widgets(
            cloudwatch.TextWidget(markdown=_HELP.format(name=settings.name), width=_WIDTH, height=3),
        )
        self.dashboard.add_widgets(cloudwatch.AlarmStatusWidget(title="Alarms", alarms=alarms.all, width=_WIDTH, height=4))
        for row in (self._flow(), self._waiting(), self._wrong(), self._books(), self._work()):
            self.dashboard.add_widgets(*row)

    def _flow(self) -> list[cloudwatch.IWidget]:
        sent = [
            channel.queue.metric_number_of_messages_sent(period=_PERIOD, statistic="Sum", label=name)
            for name, channel in self._channels.items()
        ]
        return self._row(
            ("Flow: readings landed", self._ours("Readings")),
            ("Flow: envelopes sent by devices", sent),
            ("Flow: state: envelopes applied, repeated, late", self._of("State", "Applied", "Repeated", "Late", "Superseded")),
        )

    def _waiting(self) -> list[cloudwatch.IWidget]:
        age = [
            channel.queue.metric_approximate_age_of_oldest_message(period=_PERIOD, statistic="Maximum", label=name)
            for name, channel in self._channels.items()
        ]
        depth = [
            channel.queue.metric_approximate_number_of_messages_visible(period=_PERIOD, statistic="Maximum", label=name)
            for name, channel in self._channels.items()
        ]
        limit = cloudwatch.HorizontalAnnotation(value=self._settings.stage.oldest_message_alarm_seconds, label="alarm")
        return [
            self._graph("Waiting: age of the oldest message, seconds", age, width=8, annotations=[limit]),
            self._graph("Waiting: messages in the queues", depth, width=8),
            self._graph("Waiting: messages that failed and come back", self._ours("FailedMessages"), width=8),
        ]

    def _wrong(self) -> list[cloudwatch.IWidget]:
        dead = [
            channel.dead_letters.metric_approximate_number_of_messages_visible(period=_PERIOD, statistic="Maximum", label=name)
            for name, channel in self._channels.items()
        ]
        errors = [
            metric
            for name, one in self._functions.items()
            for metric in (
                one.function.metric_errors(period=_PERIOD, statistic="Sum", label=f"{name} errors"),
                one.function.metric_throttles(period=_PERIOD, statistic="Sum", label=f"{name} throttles"),
            )
        ]
        errors += [job.function.metric_errors(period=_PERIOD, statistic="Sum", label=f"{name} errors") for name, job in self._jobs.items()]
        return self._row(
            ("Wrong: dead letters", dead),
            ("Wrong: conflicts and undecodable messages", [*self._ours("Conflicts"), *self._ours("Undecodable")]),
            ("Wrong: errors and throttles of the functions", errors),
        )

    def _books(self) -> list[cloudwatch.IWidget]:
        def worst(name: str) -> cloudwatch.Metric:
            period = Duration.minutes(self._settings.stage.gap_check_minutes)
            return ours(name, "check-gaps", settings=self._settings, period=period, label=name, statistic="Maximum")

        return self._row(
            ("Books: readings missing, streams with gaps", [worst("Gaps"), worst("GapStreams")]),
            ("Books: oldest undecided claim, seconds", [worst("PendingSeconds")]),
            ("Books: days that folding is behind, streams not looked at", [worst("FoldingBehindDays"), worst("LinesUnchecked")]),
        )

    def _work(self) -> list[cloudwatch.IWidget]:
        duration = [
            one.function.metric_duration(period=_PERIOD, statistic=statistic, label=f"{name} {statistic}")
            for name, one in self._functions.items()
            for statistic in ("p50", "Maximum")
        ]
        running = [
            one.function.metric("ConcurrentExecutions", period=_PERIOD, statistic="Maximum", label=name)
            for name, one in self._functions.items()
        ]
        timeouts = [
            cloudwatch.HorizontalAnnotation(value=one.timeout.to_milliseconds(), label=f"{name} timeout")
            for name, one in self._functions.items()
        ]
        return [
            self._graph("Work: duration, milliseconds", duration, width=8, annotations=timeouts),
            self._graph("Work: invocations at a time", running, width=8),
            self._graph("Work: messages, duplicates, objects", [*self._ours("Messages"), *self._ours("Duplicates"), *self._ours("Objects")],
                        width=8),
        ]  # fmt: skip

    def _ours(self, name: str) -> list[cloudwatch.IMetric]:
        """The metric of both functions."""
        return [metric for function in self._functions for metric in self._of(function, name)]

    def _of(self, function: str, *names: str) -> list[cloudwatch.IMetric]:
        return [ours(name, function, settings=self._settings, period=_PERIOD, label=f"{function} {name}") for name in names]

    def _row(self, *graphs: tuple[str, Sequence[cloudwatch.IMetric]]) -> list[cloudwatch.IWidget]:
        return [self._graph(title, metrics, width=_WIDTH // len(graphs)) for title, metrics in graphs]

    @staticmethod
    def _graph(
        title: str, metrics: Sequence[cloudwatch.IMetric], *, width: int, annotations: Sequence[cloudwatch.HorizontalAnnotation] = ()
    ) -> cloudwatch.GraphWidget:
        return cloudwatch.GraphWidget(
            title=title,
            left=list(metrics),
            left_annotations=list(annotations),
            left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
            width=width,
            height=6,
        )
