"""Golden files: every kind of body that was ever shipped, as stored data. Files are added, never edited: `golden/SHA256SUMS` pins them.

    python -m tests.wire.golden    writes the files of new cases and their sums; existing ones stay as they are

A file has what goes in (runs of readings, in hexadecimal), the pinned bytes in between (`columns`: MessagePack, `data`: compressed), and
what comes out (`body`, `digest`).
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from device_agent.wire import block, envelope
from device_agent.wire.block import Payload, Run
from device_agent.wire.labels import Labels

FOLDER = Path(__file__).parent / "golden"
IDENTITY = {"device": "board-7", "stream": "telemetry", "epoch": "00112233aabbccdd", "agent": "device-agent/0.1.0"}
NOON = 1_769_860_800_000_000  # 2026-01-31T12:00:00Z


def to_json(run: Run) -> dict[str, Any]:
    """Return a run as it stands in a golden file."""
    payloads = [[frame.hex() for frame in payload] if isinstance(payload, list) else payload.hex() for payload in run.payloads]
    return {"received": run.received, "synced": run.synced, "payloads": payloads, "topics": run.topics, "clients": run.clients}


def from_json(run: dict[str, Any]) -> Run:
    """Inverse of `to_json`."""
    payloads: list[Payload] = [
        [bytes.fromhex(frame) for frame in payload] if isinstance(payload, list) else bytes.fromhex(payload) for payload in run["payloads"]
    ]
    return Run(run["received"], run["synced"], payloads, run["topics"], run["clients"])


def cases() -> dict[str, dict[str, Any]]:
    """Return what goes into each file."""
    key = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"  # a CURVE key in Z85
    one = Run(NOON, True, [b'{"celsius":21.5}'])
    many = [
        Run(NOON, False, [b"a", b"", b"\x00\xff"], ["t/1", None, "t/2"], "client"),
        Run(NOON, False, [b"b"] * 3, "t/1", "client"),
        Run(NOON - 5_000_000, True, [[], [b"", b""], [b"x", b"\x80", b"y"]], "", [None, key, key]),
        Run(NOON + 1, True, ["\u00e4\u20ac\U0001f600".encode()], "\u00e4", None),
    ]
    wide = Run(NOON, True, [b"%d" % at for at in range(300)], [f"topic/{at}" for at in range(300)])
    readings: dict[str, list[list[Run]]] = {
        "readings-one": [[one]],
        "readings-many": [many],
        "readings-two-blocks": [[one, *many], [one, one]],
        "readings-300-topics": [[wide]],
        "readings-last-second": [[Run(253_402_300_799_999_999, True, [b"x"]), Run(0, False, [b"y"])]],
    }
    made: dict[str, dict[str, Any]] = {}
    for at, (name, blocks) in enumerate(readings.items()):
        made[f"{name}-v1"] = {"kind": "readings", "first": 10**at, "blocks": [[to_json(run) for run in runs] for runs in blocks]}
    payloads: dict[str, tuple[Payload, Labels, Labels]] = {
        "json": (b' {"celsius": 21.50, "note": "\xc3\xa4 \\u20ac", "big": 12345678901234567890} \n', None, None),
        "json-null": (b"null", "", key),
        "text": (b"not json", "a/b", None),
        "binary": (bytes(range(256)), "\u00e4", key),
        "empty": (b"", None, None),
        "frames": ([b"one", b"", b"\xff"], "t", None),
        "no-frames": ([], None, None),
    }
    for name, (payload, topic, client) in payloads.items():
        made[f"reading-{name}-v1"] = {
            "kind": "reading",
            "first": 2**63 - 1,
            "blocks": [[to_json(Run(NOON, True, [payload], topic, client))]],
        }
    for reason in envelope.REASONS:
        notice = {"first": 7, "last": 2**63 - 1, "time": NOON, "reason": reason, "detail": 'segment 3: checksum, "quoted" \u20ac'}
        made[f"notice-{reason}-v1"] = {"kind": "notice", **notice}
    return made


def pin(case: dict[str, Any]) -> dict[str, Any]:
    """Return a case with what today's code makes of it."""
    if case["kind"] == "notice":
        notice = envelope.Notice(**IDENTITY, **{name: value for name, value in case.items() if name != "kind"})
        return case | {"body": envelope.encode_notice(notice), "digest": notice.digest()}
    blocks = [[from_json(run) for run in runs] for runs in case["blocks"]]
    if case["kind"] == "reading":
        body = encode_reading(case)
        return case | {"body": body, "digest": envelope.decode(body).digest()}
    columns = [block.encode_columns(runs) for runs in blocks]
    data = [block.encode(runs) for runs in blocks]
    count = sum(len(run) for runs in blocks for run in runs)
    body = envelope.encode_blocks(**IDENTITY, first=case["first"], count=count, time=blocks[0][0].received, data=b"".join(data))
    pinned = {"columns": [one.hex() for one in columns], "data": [one.hex() for one in data]}
    return case | pinned | {"body": body, "digest": envelope.decode(body).digest()}


def encode_reading(case: dict[str, Any]) -> str:
    """Return today's body of a case of one reading."""
    run = from_json(case["blocks"][0][0])
    labels = {"topic": run.topics, "client": run.clients}
    return envelope.encode_reading(
        **IDENTITY, seq=case["first"], received=run.received, synced=run.synced, payload=run.payloads[0], **labels,  # type: ignore[arg-type]  # labels of one reading are texts
    )  # fmt: skip


def main() -> None:
    """Write the files that are not there yet."""
    FOLDER.mkdir(exist_ok=True)
    sums = FOLDER / "SHA256SUMS"
    known = sums.read_text(encoding="ascii") if sums.exists() else ""
    for name, case in cases().items():
        path = FOLDER / f"{name}.json"
        if path.exists():
            continue
        path.write_text(json.dumps(pin(case), indent=1) + "\n", encoding="ascii")
        known += f"{sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        print(f"added {path.name}")
    sums.write_text(known, encoding="ascii")


if __name__ == "__main__":
    main()
