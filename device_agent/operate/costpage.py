"""Documentation: docs/cost.md and its chart, made from the model, so that neither says anything else.

    python -m device_agent.operate.costpage     write them

The measured sizes stand here, dated: a page must not change with the version of a compressor. A test measures anew and compares.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from device_agent.operate import cost, growth, prices
from device_agent.operate.cost import Fleet
from device_agent.operate.measured import Sizes

RATE: Final = 10.0  # readings a second
SIZE: Final = 90  # bytes
#: What `measured.measure` says of generated sensor readings of 90 bytes at 10 a second, by linger in seconds; 2026-11-23, zstd 1.5.
SIZES: Final = {
    5: Sizes(readings=50, body=1_170, lake=30.8),
    60: Sizes(readings=600, body=9_955, lake=28.1),
}
FLEETS: Final = (10, 100, 1_000, 10_000, 100_000, 1_000_000)

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 800, 430, 64, 220, 54, 46
_LOWEST, _HIGHEST = 1.0, 1e8  # dollars
_WAYS: Final = (
    ("IoT Core, messaging alone", "#8a6d3b"),
    ("send_message a reading", "#b3402e"),
    ("send_message_batch of ten", "#d98b2b"),
    ("device-agent, linger 5 s", "#2a7f4f"),
    ("device-agent, linger 60 s", "#1f5fa8"),
)


def fleet(devices: int, linger: int) -> Fleet:
    """Return a fleet of the page."""
    return Fleet(devices=devices, rate=RATE, sizes=SIZES[linger])


def amounts(devices: int) -> dict[str, float]:
    """Return dollars a month by way."""
    one = fleet(devices, 5)
    return {
        "IoT Core, messaging alone": cost.total(cost.iot_core(one)),
        "send_message a reading": cost.total(cost.naive(one, together=1)),
        "send_message_batch of ten": cost.total(cost.naive(one, together=10)),
        "device-agent, linger 5 s": cost.total(cost.lines(one)),
        "device-agent, linger 60 s": cost.total(cost.lines(fleet(devices, 60))),
    }


def files() -> dict[str, str]:
    """Return the text of each file by its path from the repository's root."""
    return {"docs/cost.md": page(), "docs/cost.svg": chart()}


# The page


def page() -> str:
    """Return docs/cost.md."""
    return _PAGE.format(
        dated=prices.DATED, region=prices.REGION, rate=f"{RATE:g}", size=SIZE,
        ways=_ways(), lines=_lines(), limits=_limits(), readings=SIZES[5].readings, wire5=f"{SIZES[5].wire:.1f}",
        wire60=f"{SIZES[60].wire:.1f}", lake5=f"{SIZES[5].lake:.0f}", lake60=f"{SIZES[60].lake:.0f}",
    )  # fmt: skip


def _money(amount: float) -> str:
    return f"${amount:,.2f}" if amount < 100 else f"${amount:,.0f}"


def _ways() -> str:
    rows = ["| devices | " + " | ".join(name for name, _ in _WAYS) + " |", "|---:" * (len(_WAYS) + 1) + "|"]
    for devices in FLEETS:
        found = amounts(devices)
        rows.append(f"| {devices:,} | " + " | ".join(_money(found[name]) for name, _ in _WAYS) + " |")
    return "\n".join(rows)


def _lines() -> str:
    rows = ["| service | line | linger 5 s | linger 60 s |", "|---|---|---:|---:|"]
    for short, long in zip(cost.lines(fleet(1_000, 5)), cost.lines(fleet(1_000, 60)), strict=True):
        rows.append(f"| {short.service} | {short.what} | {_money(short.dollars)} | {_money(long.dollars)} |")
    totals = [cost.total(cost.lines(fleet(1_000, linger))) for linger in (5, 60)]
    return "\n".join([*rows, f"| **all** | | **{_money(totals[0])}** | **{_money(totals[1])}** |"])


def _limits() -> str:
    rows = ["| devices | linger | nearest limit, or all above half | used | most | what to change |", "|---:|---:|---|---:|---:|---|"]
    for devices in FLEETS[2:]:
        for linger in (5, 60):
            found = growth.limits(fleet(devices, linger))
            rows += [
                f"| {devices:,} | {linger} s | {one.name} | {one.used:,.1f} | {one.most:,} | {one.remedy} |"
                for one in [one for one in found if one.share > 0.5] or found[:1]
            ]
    return "\n".join(rows)


_PAGE: Final = """\
<!-- Made by `python -m device_agent.operate.costpage` from the model: change that, not this page. -->
# What a fleet costs

`device-agent cost --devices 1000 --rate 10 --size 90` works it out for your numbers, and for readings of yours with `--sample
FILE`. This page is the same model for {rate} readings a second of {size} bytes on each board. Prices: {region}, {dated}, without
free tiers and discounts; a price table is out of date the day after it is made, so check it (`device_agent/operate/prices.py`).

![Cost a month against the number of devices](cost.svg)

## By number of devices

Dollars a month. The first three receive and forget; device-agent's columns hold a lake of twelve months that answers SQL, the
ledger that proves it complete, alarms and a dashboard.

{ways}

## Line by line, 1,000 devices

{lines}

What is paid is paid by the envelope: one request to send it and one claim in the ledger. So **linger is the price**: at 5 s an
envelope of this fleet holds {readings} readings, where eighty times as many would fit. Give telemetry that nobody watches live
a linger of a minute or more; what must be quick goes into a stream of its own.

Below one reading per linger and device each reading is an envelope of its own, and the ledger makes it dearer than a bare
`send_message`. That is the price of the proof; a longer linger takes it away.

## How it is worked out

- Sizes are measured: generated sensor readings, encoded by `wire` at the size of envelope that rate and linger make, compressed
  as the lake's lines are. Here {wire5} bytes a reading on the way at a linger of 5 s and {wire60} at 60 s, everything included;
  {lake5} and {lake60} in the lake.
- SQS bills each call by started 64 KiB. A board sends each envelope by itself; functions receive and delete by tens once there is
  enough to fill them.
- An invocation takes up to 1,000 envelopes or 6 MB. Its time: 0.25 s, a claim of 10 ms each among 32 at a time, and the readings
  at half the measured speed of landing ([landing.md](landing.md)).
- A claim is 350 bytes for 60 days; then close-day's ranges stand for it.
- Every hour check-gaps reads the claims that are not folded yet, 0.6 days' worth on average, 17 in a read unit of which half is paid,
  at 20,000 a second for one core. `gap_check_minutes` in `infra/stages.py` makes it rarer.
- Sending over the internet costs nothing at AWS; what a radio link costs is yours to add: bytes a reading are above.

## Which limit comes first

With the stage `prod` as it is (50 invocations at a time):

{limits}

In words, up to a million boards: a look for gaps reads a day's claims, so it comes near first. From some thousands of boards on that
close an envelope every 5 s four `closing_buckets` are too few; until there are more, the alarm *Unwatched* tells of it, and nothing
else suffers. Then messages in flight, while batches wait for their window; beyond that limit SQS hands out no more until some are done,
so it delays and loses nothing. Then `archive_concurrency`, a number in `infra/stages.py` as well, and the table's writes a second, a
quota that AWS raises on request. A longer linger lowers all of them, and saves money. Then the account's Lambda concurrency.
FIFO queues have a limit of their own, 70,000 calls a second ({region}; less elsewhere):
`device-agent cost --fifo` shows it. The ledger's partitions are one per device, stream and epoch and never come near their 1,000
writes a second; the registry's 16 bear a million boards that all start anew within ten minutes, at a tenth of what they can take.
A stage is a deployment: beyond all this, split the fleet over several.
"""


# The chart


def chart() -> str:
    """Return docs/cost.svg: both axes logarithmic, a line a way."""
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    title = f"Dollars a month: {RATE:g} readings of {SIZE} bytes a second, each device"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="12" y="20" font-size="14" font-weight="bold">{title}</text>',
        f'<text x="12" y="36" fill="#555">{prices.REGION}, prices of {prices.DATED}</text>',
    ]  # fmt: skip
    for power in range(int(math.log10(_LOWEST)), int(math.log10(_HIGHEST)) + 1):
        y = _y(10.0**power)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.0f}" x2="{right}" y2="{y:.0f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.0f}" text-anchor="end" fill="#555">{_short(10**power)}</text>')
    for devices in FLEETS:
        x = _x(devices)
        parts.append(f'<line x1="{x:.0f}" y1="{_TOP}" x2="{x:.0f}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.0f}" y="{bottom + 16}" text-anchor="middle" fill="#555">{devices:,}</text>')
    parts.append(f'<text x="{(_LEFT + right) / 2:.0f}" y="{bottom + 36}" text-anchor="middle" fill="#555">devices</text>')
    found = {devices: amounts(devices) for devices in FLEETS}
    for place, (name, colour) in enumerate(_WAYS):
        points = " ".join(f"{_x(devices):.1f},{_y(found[devices][name]):.1f}" for devices in FLEETS)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = _TOP + 14 + 20 * place
        parts.append(f'<line x1="{right + 12}" y1="{y}" x2="{right + 30}" y2="{y}" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{right + 36}" y="{y + 4}" font-size="11">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _short(dollars: int) -> str:
    """Return dollars for an axis: `$100`, `$10k`, `$1M`."""
    for size, letter in ((10**6, "M"), (10**3, "k")):
        if dollars >= size:
            return f"${dollars // size}{letter}"
    return f"${dollars}"


def _x(devices: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log10(devices / FLEETS[0]) / math.log10(FLEETS[-1] / FLEETS[0])


def _y(amount: float) -> float:
    share = math.log10(max(_LOWEST, amount) / _LOWEST) / math.log10(_HIGHEST / _LOWEST)
    return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * share


def main() -> None:
    """Write the files."""
    root = Path(__file__).resolve().parents[2]
    for name, text in files().items():
        (root / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
