"""Uplink: a Channel Adapter out. Threads that carry the spool's envelopes to SQS, and their orderly end.

Promises: what SQS accepted is settled, what it will never accept is in quarantine, and all else is sent again, for ever, whatever goes
wrong in between; a crash at any instant only causes a re-send under the same id. Idle, it sleeps until the spool wakes it.

How: `senders` threads run the same loop: ask the scheduler for a job, do it, bring the result back. They are daemons: a request that hangs
at a stop is left behind, and its result is not taken any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from device_agent import events
from device_agent.clock import Clock
from device_agent.config import AwsConfig, StreamConfig, UplinkConfig
from device_agent.metrics import Metrics
from device_agent.ports import Source
from device_agent.uplink.client import Transport, Verdict, connect
from device_agent.uplink.jobs import Ask, Send, Wait
from device_agent.uplink.scheduler import Scheduler
from device_agent.uplink.verdicts import Cause, NotSent, Refused

#: What makes the transport; replaced in tests.
Connect = Callable[[AwsConfig, UplinkConfig, Clock], Transport]

#: How long a stop waits, after the flush, for threads that are in a request; seconds.
_GRACE: Final = 1.0


class Uplink:
    """Sends the closed envelopes of `source`. `start` once, `stop` once or twice; `status` from any thread at any time."""

    def __init__(
        self, *, device: str, agent: str, aws: AwsConfig, config: UplinkConfig, streams: Sequence[StreamConfig], source: Source,
        clock: Clock, metrics: Metrics, connect: Connect = connect,
    ) -> None:  # fmt: skip
        self._source, self._clock = source, clock
        self._scheduler = Scheduler(
            device=device, agent=agent, config=config, streams=streams, source=source, clock=clock, metrics=metrics
        )  # fmt: skip
        self._transport = connect(aws, config, clock)
        self._threads = [threading.Thread(target=self._run, name=f"sender-{number}", daemon=True) for number in range(config.senders)]
        self._flushing: float | None = None  # monotonic time at which the stop began
        self._flushed = threading.Event()
        self._ending = threading.Event()

    def start(self) -> None:
        """Begin to send."""
        self._scheduler.start()
        for thread in self._threads:
            thread.start()

    def stop(self, flush: float) -> None:
        """Go on sending for at most `flush` seconds, then give back what is left and end.

        Ends earlier when all is sent, or when what is left could not be sent since before the stop. A second call, from a signal handler
        or another thread, ends the flush at once. Takes `flush` + 1 seconds at most; a request that still hangs then is abandoned.
        """
        if self._flushing is not None:
            self._end()
            return
        self._flushing = self._clock.monotonic()
        self._source.wake()
        self._flushed.wait(flush)
        self._end()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_GRACE / len(self._threads))
        self._scheduler.close()
        self._transport.close()

    def status(self) -> dict[str, dict[str, Any]]:
        """Return how each stream stands: see `Scheduler.status`."""
        return self._scheduler.status()

    @property
    def alive(self) -> bool:
        """Whether every sender's thread runs; False after `start` and before `stop` means a bug."""
        return all(thread.is_alive() for thread in self._threads)

    def _end(self) -> None:
        self._ending.set()
        self._flushed.set()
        self._source.wake()

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001  # a bug must not end the thread and with it the sending; it is told
                events.uplink_bug(error)
                self._ending.wait(_GRACE)

    def _turn(self) -> None:
        job = self._scheduler.next()
        if isinstance(job, Wait):
            flushing = self._flushing
            if flushing is not None and self._scheduler.settled(flushing):
                self._flushed.set()
            self._source.wait(job.seconds)
        else:
            self._scheduler.done(job, self._do(job))

    def _do(self, job: Send | Ask) -> list[Verdict] | int | NotSent | Refused:
        try:
            if isinstance(job, Ask):
                return self._transport.limit(job.queue.url)
            return self._transport.send(job.queue.url, [item.message for item in job.items])
        except (NotSent, Refused) as error:
            return error
        except Exception as error:  # noqa: BLE001  # a message must have a verdict, whatever happened: it is told, and retried
            events.uplink_bug(error)
            return NotSent(Cause.UNKNOWN, f"{type(error).__name__}: {error}")
