"""Work out what a fleet costs in a month, line by line, beside a message a reading and IoT Core, and which limit it meets first.

Nothing is asked of AWS: the sizes are measured here, by encoding generated readings (or the lines of a file of yours) as a board would, and
the prices are a dated table, without free tiers and discounts. A longer linger makes fewer, fuller envelopes: that is what costs most.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agent.errors import ConfigError

if TYPE_CHECKING:
    from device_agent.operate.cost import Cost, Fleet
    from device_agent.operate.growth import Limit

HELP = "work out what a fleet costs in a month, and what limits its growth"
EXAMPLE = """
device-agent cost --devices 1000 --rate 10 --size 90
device-agent cost --devices 1000000 --rate 0.1 --size 90 --linger 60s --kms
device-agent cost --devices 50 --rate 100 --sample readings.ndjson --fifo --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--devices", type=int, required=True, metavar="N", help="boards, with one stream each")
    parser.add_argument("--rate", type=float, required=True, metavar="N", help="readings a second of each")
    parser.add_argument("--size", type=int, default=90, metavar="BYTES", help="of a reading (default: 90)")
    parser.add_argument("--sample", type=Path, metavar="FILE", help="readings of yours, one a line (instead of --size)")
    parser.add_argument("--linger", default="5s", metavar="DURATION", help="how long an envelope may wait (default: 5s)")
    parser.add_argument("--max-envelope", default="64 KiB", metavar="SIZE", help="largest envelope (default: 64 KiB)")
    parser.add_argument("--fifo", action="store_true", help="as events: FIFO queue and state table")
    parser.add_argument("--topics", type=int, default=1, metavar="N", help="with --fifo: topics in an envelope (default: 1)")
    parser.add_argument("--kms", action="store_true", help="with a customer key")
    parser.add_argument("--key-reuse", default="24h", metavar="DURATION", help="with --kms: how long SQS uses a data key (default: 24h)")
    parser.add_argument("--keep", type=float, default=12, metavar="MONTHS", help="months of readings in the lake (default: 12)")
    parser.add_argument("--concurrency", type=int, default=50, metavar="N", help="the stage's invocations at a time (default: 50)")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Measure, multiply, print."""
    from device_agent.operate import cost, growth  # noqa: PLC0415  # bring the wire

    fleet = _fleet(args)
    others = {
        "send_message_batch of ten": cost.naive(fleet, together=10),
        "send_message a reading": cost.naive(fleet, together=1),
        "IoT Core, messaging alone": cost.iot_core(fleet),
    }
    limits = growth.limits(fleet, concurrency=args.concurrency)
    if args.json:
        print(json.dumps(_document(fleet, cost.lines(fleet), others, limits), indent=1))
    else:
        print("\n".join(_page(fleet, cost.lines(fleet), others, limits)))
    return 0


def _fleet(args: argparse.Namespace) -> Fleet:
    from device_agent.config import Unit  # noqa: PLC0415
    from device_agent.configfile.units import parse  # noqa: PLC0415
    from device_agent.operate.cost import Fleet  # noqa: PLC0415
    from device_agent.operate.measured import measure, sensor_readings  # noqa: PLC0415

    if args.rate <= 0 or args.concurrency < 1 or not 1 <= args.size <= 100_000:
        raise ConfigError("cost: --rate and --concurrency are above 0, --size is 1 to 100,000 bytes; of larger readings give a --sample")
    if args.sample is None:
        readings = sensor_readings(max(100, 2_000_000 // args.size), args.size)
    else:
        readings = [line for line in args.sample.read_bytes().splitlines() if line]
        if not readings:
            raise ConfigError(f"cost: {args.sample}: no readings in it; one a line")
    try:
        linger, reuse = parse(args.linger, Unit.DURATION), parse(args.key_reuse, Unit.DURATION)
        sizes = measure(readings, rate=args.rate, linger=linger, limit=int(parse(args.max_envelope, Unit.SIZE)))
        return Fleet(
            devices=args.devices, rate=args.rate, sizes=sizes, fifo=args.fifo, topics=args.topics, kms=args.kms, reuse=int(reuse),
            keep=args.keep,
        )  # fmt: skip
    except ValueError as error:
        raise ConfigError(f"cost: {error}") from None


def _document(fleet: Fleet, lines: list[Cost], others: dict[str, list[Cost]], limits: list[Limit]) -> dict[str, Any]:
    from device_agent.operate import cost, prices  # noqa: PLC0415

    return {
        "prices": {"dated": prices.DATED, "region": prices.REGION},
        "envelope": {"readings": fleet.sizes.readings, "bytes": fleet.sizes.body, "bytes_a_reading": round(fleet.sizes.wire, 2)},
        "lake_bytes_a_reading": round(fleet.sizes.lake, 2),
        "lines": [
            {"service": one.service, "what": one.what, "quantity": one.quantity, "price": one.price, "usd": one.dollars} for one in lines
        ],
        "total_usd": cost.total(lines),
        "others_usd": {name: cost.total(found) for name, found in others.items()},
        "limits": [{"name": one.name, "used": one.used, "most": one.most, "share": one.share, "remedy": one.remedy} for one in limits],
    }  # fmt: skip


def _page(fleet: Fleet, lines: list[Cost], others: dict[str, list[Cost]], limits: list[Limit]) -> Iterator[str]:
    from device_agent.cli import table  # noqa: PLC0415
    from device_agent.operate import cost, prices  # noqa: PLC0415

    sizes, mine = fleet.sizes, cost.total(lines)
    yield f"{fleet.devices:,} devices x {fleet.rate:g} readings a second, a month, {prices.REGION}, prices of {prices.DATED}"
    envelope = f"{sizes.readings:,} readings an envelope of {sizes.body:,} bytes"
    yield f"measured: {envelope}; bytes a reading: {sizes.wire:.1f} on the way, {sizes.lake:.1f} in the lake"
    yield ""
    yield from table.lines(
        ("service", "line", "quantity", "USD"), [(one.service, one.what, round(one.quantity), dollars(one.dollars)) for one in lines]
    )
    yield ""
    million = fleet.readings * cost.MONTH / 1e6
    ways = [("device-agent, stored and proven", mine)] + [(name, cost.total(found)) for name, found in others.items()]
    yield from table.lines(("way", "USD a month", "USD per million readings", "x"), [
        (name, dollars(amount), f"{amount / million:.4f}", f"{amount / mine:.1f}") for name, amount in ways
    ])  # fmt: skip
    yield ""
    yield from table.lines(("limit", "used", "most", "share"), [
        (one.name, f"{one.used:,.1f}", one.most, f"{one.share:.1%}") for one in limits
    ])  # fmt: skip
    first = limits[0]
    yield f"\n{'beyond it' if first.share > 1 else 'first to be met'}: {first.name}. What to change: {first.remedy}."


def dollars(amount: float) -> str:
    """Return an amount for people."""
    return f"{amount:,.2f}" if amount < 1_000 else f"{amount:,.0f}"
