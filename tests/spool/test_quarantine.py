"""People remove files of the quarantine while the agent runs: nothing stops, nothing is counted twice."""

from __future__ import annotations

from device_agent.spool.files import RealFiles
from device_agent.spool.quarantine import Quarantine
from tests.spool.disk import FakeDisk

PAGE = 4096


def made(limit: int) -> tuple[FakeDisk, Quarantine]:
    disk = FakeDisk()
    quarantine = Quarantine(files=disk, directory="/q", limit=limit)
    quarantine.open()
    return disk, quarantine


def test_a_removed_file_is_not_counted() -> None:
    disk, quarantine = made(8 * PAGE)
    for number in range(3):
        quarantine.keep("a", str(number), {"reason": "x"})
    disk.unlink("/q/a/1.json")
    assert (quarantine.count("a"), quarantine.used) == (2, 2 * PAGE)


def test_a_removed_file_cannot_keep_a_new_one_out() -> None:
    disk, quarantine = made(4 * PAGE)
    for number in range(4):
        quarantine.keep("a", f"oversize-{number}", {"reason": "x"})
    disk.unlink("/q/a/oversize-0.json")
    quarantine.keep("a", "oversize-4", {"reason": "x"})
    assert sorted(file.name for file in disk.list("/q/a")) == [f"oversize-{number}.json" for number in (1, 2, 3, 4)]
    disk.fail = lambda operation, _path: OSError(5, "no") if operation == "list" else None
    disk.unlink("/q/a/oversize-1.json")
    quarantine.keep("a", "oversize-5", {"reason": "x"})
    disk.fail = lambda _operation, _path: None
    assert sorted(file.name for file in disk.list("/q/a")) == [f"oversize-{number}.json" for number in (2, 3, 4, 5)]


def test_a_removed_folder_is_made_again(tmp_path: str) -> None:
    root = f"{tmp_path}/q"
    quarantine = Quarantine(files=RealFiles(), directory=root, limit=8 * PAGE)
    quarantine.open()
    quarantine.keep("a", "1", {"reason": "x"})
    files = RealFiles()
    files.unlink(f"{root}/a/1.json")
    files.remove_directory(f"{root}/a")
    quarantine.keep("a", "2", {"reason": "x"})
    assert [file.name for file in files.list(f"{root}/a")] == ["2.json"]
    assert quarantine.count("a") == 1
