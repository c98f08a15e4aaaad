"""Findings: what `check` sees on this machine: the spool's directory and file system, sockets, key files; and what others answer."""

from __future__ import annotations

import os
import stat
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from device_agent.cli import summary
from device_agent.config import Config, InputConfig
from device_agent.config.setting import is_secret
from device_agent.configfile import Loaded, units
from device_agent.errors import ConfigError, SpoolError
from device_agent.redact import path as shown
from device_agent.secretfile import exposed

#: File systems that a power cut empties (proc(5), /proc/self/mountinfo).
_VOLATILE = {"tmpfs", "ramfs", "overlay"}
_SYNCS = 8
_PATIENCE = 2.0  # seconds: no further trial after them
_TOO_QUICK = 30e-6  # seconds; flash programs a page in 200 to 3,000 us: a quicker answer comes from a cache
_SLOW = 0.25  # seconds: a request waits for two commits at worst, and one second is a usual timeout
_LOOPBACK = ("tcp://127.", "tcp://[::1]", "tcp://lo:", "tcp://localhost:")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `check`."""

    verdict: Literal["ok", "warning", "failed", "away"]  # failed: somebody must change something; away: nobody answers now
    text: str


def local(loaded: Loaded) -> Iterator[Finding]:
    """Yield what can be seen without the network."""
    config, places = loaded.config, loaded.places
    yield from _directory(config, places["spool", "directory"])
    yield from _log(config.spool.directory)
    yield from _sizes(config)
    from device_agent.intake import check_inputs, receiver_path  # noqa: PLC0415  # brings zmq: not for the rest of this module
    from device_agent.sources import missing  # noqa: PLC0415  # likewise

    mistakes = [*check_inputs(config.inlets), *missing(config.sources)]
    yield from (Finding("failed", places.say(mistake)) for mistake in mistakes)
    if not mistakes:
        yield Finding("ok", "inputs: endpoints, socket directories and key files")
    yield Finding("ok", f"receiver: {receiver_path()}")
    for source in config.inlets:
        yield from _openness(source)
    for one in config.sources:
        if not one.authenticates:
            yield from _anybody(one.name, [endpoint for endpoint, _ in one.binds], "docs/sources.md")
    for position, entry in enumerate(config.input):
        for item in filter(is_secret, fields(entry)):
            if path := getattr(entry, item.name):
                yield from _secret(f"input {entry.name} {item.name}", places["input", position, item.name], Path(path))
    if config.aws.iot is not None:
        yield from _secret("aws.iot.private_key", places["aws", "iot", "private_key"], Path(config.aws.iot.private_key))
        for name in ("certificate", "ca"):
            path = getattr(config.aws.iot, name)
            if path and not Path(path).is_file():
                place = places["aws", "iot", name]
                yield Finding("failed", f"{place}: {shown(path)}: there is no such file; put it there, or correct the path")


def online(loaded: Loaded) -> Iterator[Finding]:
    """Yield what each queue, and the other side of each input that is not ZeroMQ, says to this machine."""
    yield from _queues(loaded)
    if loaded.config.sources:
        from device_agent.cli import inputprobe  # noqa: PLC0415  # brings zmq

        yield from inputprobe.look(loaded)


def _queues(loaded: Loaded) -> Iterator[Finding]:
    from device_agent import uplink  # noqa: PLC0415  # brings boto3

    config = loaded.config
    for look in uplink.probe(config.aws, config.stream, config=config.uplink):
        text = f"stream {look.stream}: {look.sentence}"
        if look.good:
            yield Finding("ok", text)
        else:
            yield Finding("failed" if look.mend else "away", loaded.places.say(ConfigError(text, key=look.key)))


def _directory(config: Config, place: str) -> Iterator[Finding]:
    path = Path(config.spool.directory)
    if path.exists() and not path.is_dir():
        yield Finding("failed", f"{place}: {path} is not a directory; move the file away, or name a directory")
        return
    existing = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    try:
        synced = _try(path.absolute())
    except OSError as error:
        verb = "write to" if path.exists() else "make"
        yield Finding(
            "failed",
            f"{place}: user {os.geteuid()} cannot {verb} {path} ({error.strerror}); name another directory, "
            f"change the owner of {existing}, or run the check as the agent's user",
        )
        return
    yield Finding("ok", f"spool.directory: {path} {'is writable' if path.exists() else 'can be made'}")
    kind = _file_system(existing)
    if kind in _VOLATILE - {"overlay"}:
        yield Finding("warning", f"spool.directory: {path} is in memory ({kind}): what is there does not survive a power cut")
    elif kind == "overlay":
        yield Finding("warning", f"spool.directory: {path} is on an overlay; on a read-only root it does not survive a power cut")
    else:
        yield _waiting(synced)
    yield _space(config, path, existing)


def _log(directory: str) -> Iterator[Finding]:
    """Look at the log that is there, quickly."""
    from device_agent.spool.glance import glance  # noqa: PLC0415  # brings zstd and MessagePack: not for the rest of this module

    if not Path(directory, "streams").is_dir():
        return  # no agent has run here
    try:
        seen = glance(directory)
    except (SpoolError, OSError) as error:
        yield Finding("warning", f"spool: the log cannot be looked at: {error}")
        return
    for problem in seen.problems:
        yield Finding("warning", f"spool: {problem}; `device-agent spool verify` reads the whole log and says what is lost and what to do")
    if not seen.problems:
        yield Finding(
            "ok",
            f"spool: {seen.segments:,} segments begin as they should, and the last of each log is sound ({units.roughly(seen.read)} of "
            f"{units.roughly(seen.bytes)} read); only `device-agent spool verify` reads every reading",
        )


def _try(path: Path) -> float:
    """Write a file without a name in a directory, or make the directory and remove it again; return the seconds that a sync took.

    Rights do not tell: for root everything looks writable, /proc and a read-only file system too. Raises OSError.
    """
    made: list[Path] = []
    try:
        for parent in (*reversed(path.parents), path):
            with suppress(FileExistsError):
                parent.mkdir(mode=0o700)
                made.append(parent)
        with tempfile.TemporaryFile(dir=path) as trial:
            return _sync(trial.fileno())
    finally:
        for parent in reversed(made):
            parent.rmdir()


def _sync(fd: int) -> float:
    """Return the seconds (median) that a page takes to the disk, written into an allocated file as the log does."""
    page, seconds = bytes(range(256)) * 16, []
    os.pwrite(fd, bytes(_SYNCS * len(page)), 0)
    os.fsync(fd)
    for at in range(_SYNCS):
        begun = time.perf_counter()
        os.pwrite(fd, page, at * len(page))
        os.fdatasync(fd)
        seconds.append(time.perf_counter() - begun)
        if sum(seconds) > _PATIENCE:
            break
    return statistics.median(seconds)


def _waiting(synced: float) -> Finding:
    what = f"spool.directory: a write is on the disk after {synced * 1000:,.2f} ms (fdatasync, median)"
    if synced < _TOO_QUICK:
        return Finding("warning", f"{what}: no card is that quick; if a layer below does not wait, a power cut takes acknowledged readings")
    if synced > _SLOW:
        return Finding("warning", f"{what}: REQ and DEALER clients wait for it; give them longer timeouts, or the board a better card")
    return Finding("ok", what)


def _space(config: Config, path: Path, existing: Path) -> Finding:
    volume = os.statvfs(existing)
    free = volume.f_bavail * volume.f_frsize
    used = sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file()) if path.is_dir() else 0
    need = max(0, config.spool.max_bytes - used) + config.spool.keep_free
    if free < need:
        return Finding(
            "warning",
            f"{units.roughly(free)} are free there, {units.roughly(need)} are needed for spool.max_bytes and keep_free: "
            "the spool will count as full earlier; lower max_bytes or make room",
        )
    return Finding("ok", f"{units.roughly(free)} are free there, {units.roughly(need)} may be needed")


def _file_system(path: Path) -> str:
    """Return the type of the file system of `path`, empty if /proc does not say."""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""  # no /proc here: nothing to warn about
    for mount in mounts:
        head, _, tail = mount.partition(" - ")
        if head.split()[2:3] == [wanted]:
            return tail.split()[0]
    return ""


def _sizes(config: Config) -> Iterator[Finding]:
    for source in config.inlets:
        largest = summary.largest(config, source)
        if largest < source.max_reading:
            yield Finding(
                "warning",
                f"input {source.name}: readings above {units.roughly(largest)} are refused (half a segment), though max_reading is "
                f"{units.roughly(source.max_reading)}; raise spool.max_bytes or the stream's share, or lower max_reading",
            )
    fed = {name for source in config.inlets for name in (source.stream, *(route.stream for route in source.route))}
    for stream in config.stream:
        if stream.name not in fed:
            yield Finding("warning", f"stream {stream.name}: no input feeds it")


def _openness(source: InputConfig) -> Iterator[Finding]:
    if source.curve is not None:
        if source.authenticates and not source.curve.allow:
            yield Finding("warning", f"input {source.name}: curve.allow is empty, so nobody can connect")
        return
    yield from _anybody(source.name, source.bind, "[input.curve]")


def _anybody(name: str, bind: Sequence[str], see: str) -> Iterator[Finding]:
    for endpoint in bind:
        if endpoint.startswith("tcp://") and not endpoint.startswith(_LOOPBACK):
            yield Finding("warning", f"input {name}: {endpoint} takes readings from anybody on the network; see {see}")


def _secret(what: str, place: str, path: Path) -> Iterator[Finding]:
    try:
        mode, fault = path.stat().st_mode, exposed(path)
    except OSError as error:
        yield Finding("failed", f"{place}: {shown(str(path))}: {error.strerror}; put it there, or correct the path")
        return
    if not stat.S_ISREG(mode):
        yield Finding("failed", f"{place}: {path} is not a file; correct the path")
    elif fault:
        yield Finding("failed", f"{place}: {path} {fault}")
    else:
        yield Finding("ok", f"{what}: {path}")
