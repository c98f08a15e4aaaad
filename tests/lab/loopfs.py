"""A file system of its own on a loop device, whose power can be cut while programs write to it. Needs root.

`cut` is ioctl FS_IOC_SHUTDOWN without flushing the log (include/uapi/linux/fs.h and each file system's own header): everything that was not
synced is gone, as after a power cut, and every write fails from then on; `remount` is the next boot. xfs, or ext4 with noauto_da_alloc:
ext4's default would hide a missing fsync before a rename.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import Final, Self

SHUTDOWN: Final = 0x8004587D
NO_LOG_FLUSH: Final = 2
MIB: Final = 2**20
_MAKE: Final = {"xfs": ["mkfs.xfs", "-q", "-f"], "ext4": ["mkfs.ext4", "-q", "-F"]}
_OPTIONS: Final = {"xfs": "loop", "ext4": "loop,noauto_da_alloc,errors=remount-ro"}
#: xfs refuses to be smaller.
SMALLEST: Final = {"xfs": 300 * MIB, "ext4": 8 * MIB}


def missing(kind: str) -> str:
    """Why there can be no such file system here; empty if there can."""
    if os.geteuid() != 0:
        return "needs root"
    for tool in (_MAKE[kind][0], "mount", "umount"):
        if shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            return f"needs {tool} (Debian: xfsprogs, e2fsprogs)"
    if not Path("/dev/loop-control").exists():
        return "needs loop devices"
    return ""


class LoopFs:
    """A context manager; `root` is where it is mounted."""

    def __init__(self, kind: str, folder: Path, *, size: int = 0) -> None:
        self.kind, self.root = kind, folder / "mnt"
        self._image = folder / "image"
        self.root.mkdir()
        with self._image.open("wb") as image:
            image.truncate(max(size, SMALLEST[kind]))
        _run(*_MAKE[kind], str(self._image))

    def mount(self) -> None:
        """Mount it; the log of the file system is replayed."""
        _run("mount", "-o", _OPTIONS[self.kind], str(self._image), str(self.root))

    def cut(self) -> None:
        """Cut the power."""
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def remount(self) -> None:
        """Boot again. Nobody may have files open."""
        self.unmount()
        self.mount()

    def read_only(self, now: bool) -> None:
        """Switch it to read-only as the kernel does after an error of the card, or back. Only while nobody writes to a file of it."""
        _run("mount", "-o", f"remount,{'ro' if now else 'rw'}", str(self.root))

    def fail(self) -> None:
        """Let the kernel find an error, upon which it makes an ext4 read-only for good."""
        device = Path(os.path.realpath(_run("findmnt", "-n", "-o", "SOURCE", str(self.root)).strip())).name
        (Path("/sys/fs/ext4") / device / "trigger_fs_error").write_text("1")

    def repair(self) -> None:
        """Boot after `fail`: unmount, check, mount."""
        self.unmount()
        done = subprocess.run(["/sbin/fsck.ext4", "-y", str(self._image)], capture_output=True, text=True, check=False)
        assert done.returncode in {0, 1}, done.stdout + done.stderr
        self.mount()

    def unmount(self) -> None:
        """Unmount it; a process that was killed just now may need a moment."""
        for _ in range(100):
            done = subprocess.run(["umount", str(self.root)], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return
            time.sleep(0.05)
        raise AssertionError(f"umount {self.root}: {done.stderr}")

    def __enter__(self) -> Self:
        self.mount()
        return self

    def __exit__(self, *_: object) -> None:
        self.unmount()
        self._image.unlink()


def _run(*command: str) -> str:
    environment = os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout
