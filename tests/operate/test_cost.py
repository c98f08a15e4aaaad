"""The cost model: measured sizes, lines that can be checked by hand, limits in the right order, and a page that is not stale."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from device_agent.cli.commands import cost as command
from device_agent.cli.parser import make_parser
from device_agent.errors import ConfigError
from device_agent.operate import cost, costpage, growth
from device_agent.operate.cost import MONTH, Fleet
from device_agent.operate.measured import Sizes, measure, sensor_readings
from device_agent.wire import envelope
from device_agent.wire.limits import KIB, MAX_READINGS
from infra.scheduled import MEMORY
from infra.stages import STAGES
from lambdas.landing.draft import _LEVEL, Draft
from lambdas.landing.rows import lines as lake_lines

ROOT = Path(__file__).resolve().parents[2]
ONE = Sizes(readings=100, body=2_000, lake=30)


def dollars(fleet: Fleet, what: str) -> float:
    [line] = [line for line in cost.lines(fleet) if line.what.startswith(what)]
    return line.dollars


# Sizes


@pytest.mark.parametrize("size", [40, 90, 500, 5_000])
def test_generated_readings_have_about_the_size_that_was_asked_for(size: int) -> None:
    readings = sensor_readings(200, size)
    assert sum(map(len, readings)) / len(readings) == pytest.approx(size, rel=0.15)
    assert all(json.loads(reading) for reading in readings)


def test_an_envelope_closes_after_its_linger_or_when_it_is_full() -> None:
    readings = sensor_readings(20_000, 90)
    assert measure(readings, rate=10, linger=5).readings == 50
    assert measure(readings, rate=0.01, linger=5).readings == 1
    full = measure(readings, rate=10_000, linger=60)
    assert 0.9 * 64 * KIB < full.body <= 64 * KIB
    assert 2_000 < full.readings <= MAX_READINGS
    big = measure([random.Random(1).randbytes(200_000)], rate=1, linger=60, limit=64 * KIB)  # 200 kB: one is more than fits
    assert big.readings == 1


def test_bytes_in_the_lake_are_those_that_landing_writes() -> None:
    readings = sensor_readings(5_000, 90)
    sizes = measure(readings, rate=1_000, linger=5)
    from device_agent.operate import measured

    body = measured._encode(readings, sizes.readings, 1_000)
    decoded = envelope.decode(body)
    assert isinstance(decoded, envelope.Envelope)
    draft = Draft("readings/stream=t/dt=2026-11-23/x.json.gz")
    draft.add(lake_lines(decoded, arrived=1_790_000_000_000_000), count=sizes.readings)
    assert len(draft.finish()) / sizes.readings == pytest.approx(sizes.lake, rel=0.05)
    assert measured._LAKE_LEVEL == _LEVEL


@pytest.mark.parametrize("linger", [5, 60])
def test_the_sizes_on_the_page_are_still_what_is_measured(linger: int) -> None:
    found, stated = measure(sensor_readings(22_222, costpage.SIZE), rate=costpage.RATE, linger=linger), costpage.SIZES[linger]
    assert found.readings == stated.readings
    assert found.body == pytest.approx(stated.body, rel=0.1)
    assert found.lake == pytest.approx(stated.lake, rel=0.1)


# Lines


def test_the_lines_are_what_a_calculation_by_hand_gives() -> None:
    fleet = Fleet(devices=1_000, rate=10, sizes=ONE)  # 100 envelopes a second
    million = 100 * MONTH / 1e6
    assert million == pytest.approx(262.98)
    assert dollars(fleet, "send") == pytest.approx(million * 0.40)
    assert dollars(fleet, "delete") == pytest.approx(million / 10 * 0.40)
    assert dollars(fleet, "claims: a write") == pytest.approx(million * 0.625)
    assert fleet.batch == 400  # 20 s of window, five batches at a time
    assert dollars(fleet, "invocations") == pytest.approx(million / 400 * 0.20)
    assert dollars(fleet, "objects") == pytest.approx(million / 400 * 5)
    assert dollars(fleet, "the lake") == pytest.approx(1_000 * 10 * MONTH * 30 * 12 / 1e9 * 0.023)
    assert cost.total(cost.naive(fleet, together=1)) > 1_000 * 10 * MONTH * 0.40e-6


def test_looking_for_gaps_is_paid_by_the_claims_of_a_day_and_by_the_lines() -> None:
    fleet = Fleet(devices=1_000, rate=10, sizes=ONE)  # 100 envelopes a second
    unfolded = 100 * 86_400 * 0.6
    looks = MONTH / 3_600
    assert dollars(fleet, "check-gaps every hour: reads") == pytest.approx(looks * (2_000 + unfolded / 17) * 0.125e-6 / 2)
    seconds = looks * (1_000 / 350 + unfolded / 20_000) + MONTH / 86_400 * (1_000 / 350 + 100 * 86_400 / 20_000)
    assert dollars(fleet, "check-gaps every hour, close-day") == pytest.approx(seconds * 1_769 / 1_024 * 0.0000133334)
    assert dollars(fleet, "check-gaps and close-day: listing") < 1


def test_the_model_knows_the_stage_that_it_speaks_of() -> None:
    prod = STAGES["prod"]
    assert (24 * 60 // prod.gap_check_minutes, prod.closing_buckets) == (cost.LOOKS, cost.BUCKETS)
    assert cost.CORE_MB == MEMORY


def test_sqs_is_paid_by_started_64_kib() -> None:
    full, over = (Fleet(devices=1, rate=100, sizes=Sizes(readings=1, body=size, lake=1)) for size in (64 * KIB, 64 * KIB + 1))
    assert dollars(over, "send") == pytest.approx(2 * dollars(full, "send"))
    assert dollars(full, "receive") == pytest.approx(dollars(full, "send"))  # ten of them together are ten units


def test_a_customer_key_costs_what_aws_says_for_a_thousand_devices() -> None:
    for reuse, expected in ((300, 52), (86_400, 0.18)):
        fleet = Fleet(devices=1_000, rate=10, sizes=ONE, kms=True, reuse=reuse)
        assert dollars(fleet, "two requests") == pytest.approx(expected, rel=0.05)
    assert not [line for line in cost.lines(Fleet(devices=1_000, rate=10, sizes=ONE)) if line.service == "KMS"]


def test_events_pay_fifo_prices_and_the_state_table() -> None:
    plain, fifo = (Fleet(devices=10, rate=1, sizes=ONE, fifo=one, topics=3) for one in (False, True))
    assert dollars(fifo, "send") == pytest.approx(dollars(plain, "send") * 1.25)
    assert dollars(fifo, "state") == pytest.approx(4 * dollars(fifo, "claims: a write"))


def test_a_fleet_twice_as_large_costs_at_most_twice_as_much() -> None:
    for devices in (1, 100, 10_000, 1_000_000):
        small, large = (cost.total(cost.lines(Fleet(devices=count, rate=10, sizes=ONE))) for count in (devices, 2 * devices))
        assert small < large <= 2 * small


@pytest.mark.parametrize("wrong", [{"devices": 0}, {"rate": 0}, {"topics": 0}, {"reuse": 59}, {"keep": -1}])
def test_what_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="a fleet has"):
        Fleet(**({"devices": 1, "rate": 1, "sizes": ONE} | wrong))  # type: ignore[arg-type]


# Limits


def test_the_nearest_limit_comes_first_and_a_longer_linger_moves_it_away() -> None:
    quick, slow = (costpage.fleet(1_000_000, linger) for linger in (5, 60))
    shares = [limit.share for limit in growth.limits(quick)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 1
    assert growth.limits(slow)[0].share < shares[0]
    assert all(limit.remedy for limit in growth.limits(quick))


def test_more_concurrency_moves_the_limit_on_invocations() -> None:
    def share(concurrency: int) -> float:
        found = growth.limits(costpage.fleet(1_000_000, 60), concurrency=concurrency)
        return next(limit.share for limit in found if limit.name.endswith("of the stage"))

    assert share(500) == pytest.approx(share(50) / 10)


def test_only_fifo_has_a_limit_of_calls() -> None:
    names = [{limit.name for limit in growth.limits(Fleet(devices=9, rate=1, sizes=ONE, fifo=fifo))} for fifo in (False, True)]
    assert names[1] - names[0] == {"FIFO calls a second"}


# Page and command


@pytest.mark.parametrize("name", ["docs/cost.md", "docs/cost.svg"])
def test_the_page_is_not_stale(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == costpage.files()[name], "run: python -m device_agent.operate.costpage"


def run(*words: str) -> int:
    return command.run(make_parser(["cost"]).parse_args(["cost", *words]))


def test_the_command_prints_lines_ways_and_limits(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--devices", "1000", "--rate", "10", "--size", "90") == 0
    out = capsys.readouterr().out
    for word in ("claims: a write an envelope", "IoT Core", "messages in flight", "first to be met", "2026-11-23"):
        assert word in out


def test_the_command_takes_readings_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = tmp_path / "readings"
    sample.write_bytes(b"\xff\x00 not text\n" * 10)
    assert run("--devices", "5", "--rate", "2", "--sample", str(sample), "--linger", "1min", "--fifo", "--kms", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["envelope"]["readings"] == 120
    assert document["total_usd"] == pytest.approx(sum(line["usd"] for line in document["lines"]))
    assert "KMS" in {line["service"] for line in document["lines"]}


@pytest.mark.parametrize(
    "words",
    [
        ("--devices", "0", "--rate", "1"),
        ("--devices", "1", "--rate", "0"),
        ("--devices", "1", "--rate", "1", "--linger", "5"),
        ("--devices", "1", "--rate", "1", "--size", "0"),
        ("--devices", "1", "--rate", "1", "--kms", "--key-reuse", "2d"),
        ("--devices", "1", "--rate", "1", "--sample", "/dev/null"),
    ],
)
def test_wrong_usage_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        run(*words)
