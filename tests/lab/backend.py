"""Where the readings of a kill loop end: the local cloud, or (quicker, and nastier) our own SQS with the real landing in this process.

Both can be broken at random and healed, and both say what is in the lake and what the state table shows.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from typing import Protocol, Self

from device_agent.wire import ledger as keys
from lambdas.landing.batch import Landing, Verdict
from lambdas.landing.messages import Message, decoded
from lambdas.state import Applier
from localcloud import LocalCloud
from localcloud.demo import books as demo_books
from tests.fakes.sqs import FakeSqs
from tests.lab import books
from tests.lab.agent import command
from tests.lab.proxy import Faults, Proxy
from tests.lambdas import fakes


class Backend(Protocol):
    """The cloud of one kill loop."""

    telemetry: str
    events: str

    @property
    def endpoint(self) -> str:
        """Where the agent sends."""

    def worsen(self, randoms: random.Random) -> str:
        """Break something, or mend it, at random; say what."""

    def heal(self) -> None:
        """Mend everything."""

    def rows(self, device: str) -> Iterator[books.Row]:
        """Everything of the device in the lake."""

    def newest(self, device: str) -> dict[str, int]:
        """By topic of `events`, the sequence number in the state table."""

    def audit(self, device: str) -> str:
        """The project's own books, if they do not balance; else empty."""

    def forget(self) -> None:
        """Empty the lake, if that is possible."""


class CloudBackend:
    """The local cloud, with the fault proxy in front of its network."""

    def __init__(self, cloud: LocalCloud, *, seed: int) -> None:
        self._cloud = cloud
        self.telemetry, self.events = cloud.outputs.telemetry_queue_url, cloud.outputs.events_queue_url
        self.proxy = Proxy(cloud.device_endpoint_url, seed=seed)

    @property
    def endpoint(self) -> str:
        return self.proxy.url

    def worsen(self, randoms: random.Random) -> str:
        if randoms.random() < 0.25:
            self._cloud.network.cut()
            return "network cut"
        self._cloud.network.restore()
        self.proxy.faults = Faults(rate=randoms.choice([0.0, 0.2, 0.5]))
        return f"network up, {self.proxy.faults.rate:.0%} of the requests fail"

    def heal(self) -> None:
        self.proxy.heal()
        self._cloud.network.restore()

    def rows(self, device: str) -> Iterator[books.Row]:
        for line in demo_books.raw_rows(self._cloud):
            if line["device"] == device:
                yield books.row(line, line["stream"])

    def newest(self, device: str) -> dict[str, int]:
        pages = self._cloud.client("dynamodb").get_paginator("query").paginate(
            TableName=self._cloud.outputs.state_table, ConsistentRead=True, KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
            ExpressionAttributeValues={":pk": {"S": device}, ":sk": {"S": keys.topic_sk("events", "")}},
        )  # fmt: skip
        return {item["sk"]["S"].split("|", 2)[2]: int(item["seq"]["N"]) for page in pages for item in page["Items"]}

    def audit(self, device: str) -> str:
        outputs = self._cloud.outputs
        found = command([
            "audit", "--ledger", outputs.ledger_table, "--lake", outputs.lake_bucket, "--device", device, "--deep",
            "--endpoint-url", self._cloud.endpoint_url, "--region", outputs.region,
        ])  # fmt: skip
        return "" if found.returncode == 0 else f"audit says {found.returncode}: {found.stdout}{found.stderr}"

    def forget(self) -> None:
        """The lake is shared and stays."""

    def __enter__(self) -> Self:
        self.proxy.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()
        self.proxy.__exit__()


class OwnBackend:
    """The SQS fake, and archive and state in one thread each: everything is delivered once or twice, telemetry in any order."""

    def __init__(self, *, seed: int) -> None:
        self._sqs = FakeSqs(check_signatures=False)
        self._random = random.Random(seed)
        self.telemetry, self.events = self._sqs.create("telemetry"), self._sqs.create("events.fifo")
        self.proxy = Proxy(self._sqs.endpoint.replace("localhost", "127.0.0.1"), seed=seed)
        self._ledger, self._lake, self._states = fakes.FakeLedger(), fakes.FakeLake(), fakes.FakeStates()
        self._landing = Landing(
            ledger=self._ledger, lake=self._lake, aside=fakes.FakeAside(), pool=fakes.InlinePool(), now=time.time,
            new_run=lambda: uuid.uuid4().hex,
        )  # fmt: skip
        self._applier = Applier(states=self._states, pool=fakes.InlinePool(), now=time.time)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.problem = ""

    @property
    def endpoint(self) -> str:
        return self.proxy.url

    def worsen(self, randoms: random.Random) -> str:
        self.proxy.faults = Faults(rate=randoms.choice([0.0, 0.3, 0.7, 1.0]))
        return f"{self.proxy.faults.rate:.0%} of the requests fail"

    def heal(self) -> None:
        self.proxy.heal()

    def rows(self, device: str) -> Iterator[books.Row]:
        assert not self.problem, self.problem
        with self._lock:
            found = self._lake.memory.rows()
        for line, _, row in found:
            if line.device == device:
                yield books.row(row, line.stream)

    def newest(self, device: str) -> dict[str, int]:
        with self._lock:
            values = dict(self._states.memory.values)
        return {topic: latest.place.seq for (who, stream, topic), latest in values.items() if (who, stream) == (device, "events")}

    def audit(self, device: str) -> str:
        return ""  # reads DynamoDB and S3: the local cloud's part

    def forget(self) -> None:
        with self._lock:
            self._lake.memory.objects.clear()

    def _run(self) -> None:
        try:
            while not self._stopping.wait(0.05):
                self._turn()
        except Exception as error:
            self.problem = f"landing broke down: {error!r}"
            raise

    def _turn(self) -> None:
        model = self._sqs.model
        with model._lock:  # the list is the queue: what was accepted, once
            arrived, model.accepted = model.accepted, []
            for queue in model._queues.values():
                queue.messages.clear()
        plain = [one for one in arrived if one.group is None]
        fifo = [one for one in arrived if one.group is not None]
        plain += self._random.sample(plain, min(len(plain), 2))
        self._random.shuffle(plain)
        with self._lock:
            for batch in (plain, fifo):
                messages = [
                    Message(id=str(at), body=one.body, arrived=int(time.time() * 1e6), receives=1, group=one.group or "")
                    for at, one in enumerate(batch)
                ]
                self._land(messages, state=batch is fifo)

    def _land(self, messages: list[Message], *, state: bool) -> None:
        left = deque(messages)
        while left:
            batch = list(decoded([left.popleft() for _ in range(min(len(left), 10 if state else 100))]))
            deadline = time.time() + 600
            report = self._landing.land(batch, deadline=deadline)
            bad = [one.reason for one in report.settled if one.verdict in {Verdict.FAILED, Verdict.ASIDE}]
            if state:
                failed, _, reasons = self._applier.apply(batch, report.settled, deadline=deadline)
                bad += reasons if failed else []
            if bad:
                raise AssertionError(f"a message was not landed: {bad[:3]}")

    def __enter__(self) -> Self:
        self._sqs.__enter__()
        self.proxy.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self.proxy.__exit__()
        self._sqs.__exit__()
