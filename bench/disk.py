"""Bytes that reach the block device: a loop device with a file system of its own where we are root, else what the kernel says there is.

Promises that nothing else writes to a loop device, so its counters are those of the spool: ext4 with its journal, its tables written
beforehand. Otherwise the counters of the device below the folder are taken, which others share, or, where that is none of /sys/block
(an overlay, tmpfs), `write_bytes` of the process, which leaves out the file system's journal. `says` tells which it was.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SECTOR: Final = 512  # bytes, in /sys/block/*/stat whatever the device's own (Documentation/block/stat.rst)
_WRITTEN: Final = 6  # field: sectors written
_SIZE: Final = 3 * 2**30  # sparse


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A folder, and how many bytes were written to the device below it."""

    folder: Path
    says: str
    device: Path | None  # its directory in /sys/block

    def written(self, pid: int) -> int:
        """Return bytes written so far, what waits in the page cache included; `pid` is used where there is no device to ask."""
        _flush(self.folder)
        if self.device is None:
            return _field(Path(f"/proc/{pid}/io").read_text(encoding="ascii"), "write_bytes")
        return sectors(self.device.joinpath("stat").read_text(encoding="ascii")) * _SECTOR


def sectors(stat: str) -> int:
    """Return the sectors written out of the text of /sys/block/*/stat."""
    return int(stat.split()[_WRITTEN])


def _field(text: str, name: str) -> int:
    return next(int(line.partition(":")[2]) for line in text.splitlines() if line.startswith(f"{name}:"))


def _flush(folder: Path) -> None:
    """syncfs(2), which Python does not have: sync(1) does it for the file system of a path."""
    _tool("sync", "--file-system", str(folder))


def _tool(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  # fixed programs
    return done.stdout.strip()


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """Yield a disk for a spool; `folder` is where its image or its directory goes."""
    folder.mkdir(parents=True, exist_ok=True)
    undo: list[Callable[[], object]] = []
    try:
        try:
            yield_this = _loop(folder, undo)
        except (OSError, subprocess.CalledProcessError) as error:
            yield_this = _shared(folder, error)
        yield yield_this
    finally:
        for step in reversed(undo):
            step()


def _loop(folder: Path, undo: list[Callable[[], object]]) -> Disk:
    if os.geteuid() != 0:
        raise PermissionError("not root")
    image, place = folder / "disk.img", folder / "disk"
    with image.open("wb") as file:
        file.truncate(_SIZE)
    undo.append(image.unlink)
    _tool("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image))
    device = _tool("losetup", "--find", "--show", str(image))
    undo.append(lambda: _tool("losetup", "--detach", device))
    place.mkdir(exist_ok=True)
    _tool("mount", device, str(place))
    undo.append(lambda: _tool("umount", str(place)))
    return Disk(folder=place, says="a loop device with ext4 of its own", device=Path("/sys/block", Path(device).name))


def _shared(folder: Path, why: BaseException) -> Disk:
    reason = f"no loop device ({why})"
    number = folder.stat().st_dev
    link = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if link.exists():
        device = link.resolve()
        return Disk(folder=folder, says=f"{device.name}, which others use too; {reason}", device=device)
    return Disk(folder=folder, says=f"the process's write_bytes, without the file system's journal; {reason}", device=None)
