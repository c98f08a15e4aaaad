"""What the function behind the queue can do on one core: `archive`'s landing on full envelopes, claims in its pool of threads.

Real: Powertools' event, decoding, rendering, compression, the ledger and lake adapters with boto3. Stubbed: the services, by the minimal
responder in a process of its own; Lambda itself. CPU time of the process, so that waiting and other processes do not count.

    python -m bench.archive URL FILE ENVELOPES      prints readings and CPU seconds
"""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

from bench.goals import Figure, of_rounds
from bench.processes import python
from bench.readings import read
from bench.run import Run

NAMES: Final = ("archive_readings_per_core_s",)
_READINGS: Final = 4_500  # of 90 bytes: about what an envelope of 64 KiB holds
_DEADLINE: Final = 3600.0


def measure(run: Run) -> list[Figure]:
    """Measure all of `NAMES`."""
    found, notes = [], []
    for number in range(run.rounds):
        run.say(f"archive, round {number + 1} of {run.rounds}")
        one = run.reference(python("bench.archive", run.endpoint.url, run.file, 60 if run.quick else 400))
        found.append(one["readings"] / one["cpu"])
        notes.append(one)
    last = notes[-1]
    note = (
        f"{last['envelopes']} envelopes of {last['readings'] / last['envelopes']:.0f} readings, {last['body']:,} B each; "
        f"wall {last['seconds']:.1f} s, CPU of all threads; boto3 against a responder that always succeeds"
    )
    return [of_rounds(NAMES[0], found, note=note)]


def events(file: Path, envelopes: int) -> list[dict[str, Any]]:
    """Return the records of an event: full envelopes of the producer's readings."""
    from device_agent.wire import block, envelope  # noqa: PLC0415  # the harness itself does not need them
    from device_agent.wire.block import Run as Readings  # noqa: PLC0415

    payloads = read(file)
    endless = cycle(payloads)
    records = []
    now = int(time.time() * 1e6)
    for number in range(envelopes):
        runs = [Readings(now + part, True, list(islice(endless, _READINGS // 5))) for part in range(5)]
        body = envelope.encode_blocks(
            device="bench", stream="telemetry", epoch="0123456789abcdef", first=number * _READINGS + 1, count=_READINGS, agent="bench/1",
            time=now,             data=block.encode(runs),
        )  # fmt: skip
        attributes = {"SentTimestamp": str(now // 1000), "ApproximateReceiveCount": "1", "SenderId": "AROA:bench"}
        records.append({"messageId": f"{number}", "body": body, "attributes": attributes, "eventSource": "aws:sqs"})
    return records


def land(url: str, file: Path, envelopes: int) -> None:
    """Land one event as the function does, and print what it took."""
    records = events(file, envelopes)
    os.environ |= {"AWS_ENDPOINT_URL": url, "POWERTOOLS_LOG_LEVEL": "ERROR", "POWERTOOLS_DEV": "0"}
    from aws_lambda_powertools.utilities.data_classes import SQSEvent  # noqa: PLC0415  # reads the environment

    from device_agent.errors import DeviceAgentError  # noqa: PLC0415
    from lambdas import runtime  # noqa: PLC0415
    from lambdas.landing.messages import decoded  # noqa: PLC0415
    from lambdas.landing.sqs import messages  # noqa: PLC0415

    settings = runtime.Settings(lake="lake", ledger="ledger", dead_letters=f"{url}/123456789012/dlq")
    with runtime.threads() as pool:
        landing = runtime.landing(settings, function="archive", pool=pool)
        landing.land(decoded(messages(SQSEvent({"Records": records[:1]}).records)), deadline=time.time() + _DEADLINE)  # connects
        begin, cpu = time.perf_counter(), time.process_time()
        report = landing.land(decoded(messages(SQSEvent({"Records": records}).records)), deadline=time.time() + _DEADLINE)
        cpu, seconds = time.process_time() - cpu, time.perf_counter() - begin
    if report.readings != envelopes * _READINGS:
        raise DeviceAgentError(f"{report.readings} of {envelopes * _READINGS} readings landed: {report.settled[0]}")
    found = {"readings": report.readings, "envelopes": envelopes, "cpu": cpu, "seconds": seconds, "body": len(records[0]["body"])}
    print(json.dumps(found))


if __name__ == "__main__":
    land(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
