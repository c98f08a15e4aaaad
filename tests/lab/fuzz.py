"""`make fuzz`: whatever comes in, each target raises its one error or none, and ends.

    python -m tests.lab.fuzz envelope --seconds 60
    python -m tests.lab.fuzz all --seconds 300
    python -m tests.lab.fuzz all --seconds 300 --keep

Coverage guides the inputs: `tests.lab.guided`, which needs nothing, or atheris (libFuzzer) where it is installed (`.venv/bin/pip install
atheris`: wheels for Linux on x86-64 and few others, so it is no dependency). The corpus
is `tests/lab/corpus/<target>/`: what once broke the target, and with `--keep` a distilled set of what went new ways. A search begins with
it, and the suite tries all of it each time. Checksums keep random bytes out of what lies behind them: `columns` and `records` put the right
ones in. The target `frames` is a running REP and ROUTER input: what is found there
is what the receiver makes of frames; what libzmq makes of bytes on the wire is in tests/faults/test_intake_peers.py.
The target `drain` is the loop of the intake in C, built with checks of memory and of undefined behaviour (`drainfuzz.c`).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import logging
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from device_agent import configfile
from device_agent.errors import ConfigError
from device_agent.spool import scan as scans
from device_agent.wire import block, envelope, zstd
from device_agent.wire.errors import EnvelopeError
from device_agent.wire.ranges import Ranges
from tests.lab import fuzzdrain, fuzzframes, fuzzlog
from tests.lab.guided import Guide
from tools.drain import NotBuilt

CORPUS = Path(__file__).parent / "corpus"
_GOLDEN = Path(__file__).parents[1] / "wire" / "golden"


def fuzz_envelope(data: bytes) -> None:
    """Any text as a body."""
    try:
        content = envelope.decode(data.decode("utf-8", "surrogateescape"))
    except EnvelopeError:
        return
    assert content.first <= content.last
    content.digest()


def fuzz_block(data: bytes) -> None:
    """Any bytes as a data block."""
    try:
        readings = block.decode(data)
    except EnvelopeError:
        return
    assert len(readings.payloads) == len(readings.received) == len(readings.topics) == len(readings.clients)


def fuzz_config(data: bytes) -> None:
    """Any text as a configuration file."""
    try:
        configfile.loads(data.decode("utf-8", "replace"), "agent.toml", environ={})
    except ConfigError:
        return


def fuzz_scan(data: bytes) -> None:
    """Any bytes as a segment: what is found lies within it, in order, and no number is forgotten."""
    found = scans.scan(data, number=1, base=1)
    last, told = 0, Ranges()
    for entry in [*found.entries, *([found.open.entry()] if found.open else [])]:
        told.add(entry.first, entry.last)
        assert 0 <= entry.position <= entry.stop <= len(data)
        if not entry.notice:
            assert entry.first > last
            last = entry.last
    for damage in found.damage:
        if damage.last >= damage.first:
            told.add(damage.first, damage.last)
    assert found.next == 1 or not list(told.missing(1, found.next - 1))
    assert 0 <= found.valid <= len(data)


def fuzz_columns(data: bytes) -> None:
    """Any bytes inside a sound zstd frame as a data block."""
    fuzz_block(zstd.compress(data))


def fuzz_records(data: bytes) -> None:
    """Any records with right checksums as the last segment of a spool."""
    sealed = fuzzlog.sealed(data)
    fuzz_scan(sealed)
    fuzzlog.open_with(sealed)


def fuzz_journal(data: bytes) -> None:
    """Any records with right checksums as the journal of a log."""
    fuzzlog.open_with(fuzzlog.sealed(data), "delivered.journal")


def fuzz_log(data: bytes) -> None:
    """Any bytes as the last segment of a spool: it opens, everything can be read, it takes a reading."""
    fuzzlog.open_with(data)


def fuzz_frames(data: bytes) -> None:
    """Any frames to a REP and to both kinds of ROUTER input: a reading, a refusal or a count."""
    fuzzframes.receive(data)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "envelope": fuzz_envelope,
    "block": fuzz_block,
    "columns": fuzz_columns,
    "config": fuzz_config,
    "scan": fuzz_scan,
    "log": fuzz_log,
    "records": fuzz_records,
    "journal": fuzz_journal,
    "frames": fuzz_frames,
}


def seeds(target: str) -> list[bytes]:
    """Good inputs to begin with, and those that once broke it."""
    made: list[bytes] = []
    golden = [json.loads(path.read_text()) for path in sorted(_GOLDEN.glob("*.json"))]
    if target == "envelope":
        made = [one["body"].encode() for one in golden if "body" in one]
    elif target == "block":
        made = [bytes.fromhex(one["data"]) for one in golden if isinstance(one.get("data"), str)] or [fuzzlog.a_block()]
    elif target == "records":
        made = [fuzzlog.records()]
    elif target == "journal":
        made = [fuzzlog.journal()]
    elif target == "columns":
        made = [fuzzlog.columns()]
    elif target == "config":
        made = [(Path(__file__).parents[2] / "packaging" / "agent.toml").read_bytes()]
    elif target == "frames":
        made = fuzzframes.SEEDS
    else:
        made = [fuzzlog.segment()]
    kept = CORPUS / target
    return made + [path.read_bytes() for path in sorted(kept.iterdir())] if kept.exists() else made


def change(data: bytes, randoms: random.Random) -> bytes:
    """A few random changes: bits, bytes, cuts, copies, numbers at their limits."""
    content = bytearray(data)
    for _ in range(randoms.choice((1, 1, 2, 4, 8))):
        at = randoms.randrange(len(content) + 1)
        kind = randoms.randrange(7)
        if kind == 0 and at < len(content):
            content[at] ^= 1 << randoms.randrange(8)
        elif kind == 1 and at < len(content):
            content[at] = randoms.choice((0, 1, 0x7F, 0x80, 0xC1, 0xFF, 0x22, 0x5B, 0x7B))
        elif kind == 2:
            del content[at : at + randoms.choice((1, 2, 4, 16, 100))]
        elif kind == 3:
            content[at:at] = content[at - randoms.choice((1, 8, 64, 600)) : at]
        elif kind == 4:
            content[at:at] = randoms.randbytes(randoms.choice((1, 4, 32)))
        elif kind == 5:
            content[at : at + 4] = randoms.choice((b"\xff\xff\xff\xff", bytes(4), b"\0\0\0\x80", b"9999", b"-1e9"))
        else:
            del content[at:]
    return bytes(content)


def keep(target: str, data: bytes) -> Path:
    """Add an input to the corpus."""
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    return path


def run(guide: Guide, target: str, seconds: float) -> tuple[int, int]:
    """Search, guided by coverage; return how many inputs were tried, and how many went new ways."""
    tried = kept = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = guide.next()
        try:
            kept += guide.run(data)
        except BaseException:
            print(f"{target} breaks: {keep(target, data)}")
            raise
        tried += 1
    return tried, kept


def run_atheris(target: str, seconds: float) -> int:
    """Let atheris search, in a process of its own: it never returns."""
    import atheris  # type: ignore[import-not-found, unused-ignore]

    folder = Path(".cache") / "fuzz" / target  # what it learns stays on this machine; only what breaks goes into the corpus
    folder.mkdir(parents=True, exist_ok=True)
    for data in seeds(target):
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={int(seconds)}", f"-artifact_prefix={CORPUS / target}/", "-timeout=10", "-rss_limit_mb=1024"]
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], *options, str(folder)], TARGETS[target])
    atheris.Fuzz()
    return 0


def run_drain(seconds: float, seed: int | None) -> int:
    """Search in C: the loop of the intake, by a fuzzer of its own."""
    try:
        done = fuzzdrain.run(fuzzdrain.build(Path(".cache") / "fuzz" / "drainfuzz"), seconds, seed)
    except NotBuilt as error:
        print(f"drain: not tried: {error}")
        return 0
    print(done.stdout, done.stderr, sep="", end="")
    return done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.fuzz", description=__doc__)
    parser.add_argument("target", choices=[*TARGETS, "drain", "all"])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run; searches without atheris")
    parser.add_argument("--keep", action="store_true", help="add what went new ways to the corpus, distilled; searches without atheris")
    options = parser.parse_args()
    logging.disable()  # every damaged log says so, thousands of times
    if options.target == "all":
        each = options.seconds / (len(TARGETS) + 1)
        return max(
            subprocess.run(
                [sys.executable, "-m", "tests.lab.fuzz", target, "--seconds", str(each), *["--keep"] * options.keep], check=False
            ).returncode
            for target in [*TARGETS, "drain"]
        )
    if options.target == "drain":
        return run_drain(options.seconds, options.seed)
    if importlib.util.find_spec("atheris") is not None and options.seed is None and not options.keep:
        return run_atheris(options.target, options.seconds)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**31)
    print(f"{options.target}: seed {seed}", flush=True)
    known = seeds(options.target)
    guide = Guide(TARGETS[options.target], known, change, random.Random(seed))
    tried, kept = run(guide, options.target, options.seconds)
    print(f"{tried:,} inputs, {kept:,} went new ways ({len(guide.seen):,} known), none broke it")
    if options.keep:
        new = [data for data in guide.distilled() if data not in known]
        for data in new:
            keep(options.target, data)
        print(f"{len(new):,} of them are in {CORPUS / options.target} now")
    return 0


if __name__ == "__main__":
    sys.exit(main())
