"""For people: what is in the quarantine, one file at a time. Only `drop` changes anything; all of it may run beside the agent.

Beside a running agent a file may vanish (it gave way to a new one): that is no error. What is not one of ours is shown as it is, and
can be dropped like the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from device_agent.errors import SpoolError
from device_agent.spool.files import RealFiles
from device_agent.spool.quarantine import DAMAGED


class Kind(Enum):
    """Why a file is there."""

    REFUSED = "refused"  # the cloud will never take it; only these can be replayed
    TOO_LARGE = "too large"  # for the log: it never got a sequence number
    DAMAGED = "damaged"  # bytes of the log that do not match their checksum
    UNREADABLE = "unreadable"  # the file itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One file. `id` is `<folder>/<name>`, unique in a quarantine."""

    id: str
    path: str
    kind: Kind
    bytes: int  # of the file
    content: dict[str, Any] = field(default_factory=dict)

    @property
    def stream(self) -> str:
        """The stream that it belongs to."""
        return str(self.content.get("stream") or self.id.partition("/")[0])

    @property
    def reason(self) -> str:
        """One sentence, on one line."""
        return " ".join(str(self.content.get("reason", "this is not a file of the quarantine")).split())

    @property
    def time(self) -> str:
        """When it was set aside, RFC 3339; empty if the file does not say."""
        return str(self.content.get("time", ""))

    @property
    def numbers(self) -> tuple[int, int] | None:
        """First and last sequence number; None if it has none, or took none with it."""
        first, last = self.content.get("first"), self.content.get("last")
        return (first, last) if type(first) is int and type(last) is int and first <= last else None

    @property
    def notice(self) -> bool:
        """Whether the refused message was a notice."""
        return "-x" in str(self.content.get("id", ""))

    @property
    def cut(self) -> bool:
        """Whether the bytes were too many to be kept."""
        return self.content.get("cut") is True


def kept(directory: str) -> list[Kept]:
    """Return what is in the quarantine of a spool, by folder, oldest first.

    Raises:
        SpoolError: it may not be read.
    """
    files = RealFiles()
    root = f"{directory.rstrip('/')}/quarantine"
    found = []
    try:
        for folder in files.list(root):
            if folder.directory:
                found += [_read(f"{root}/{folder.name}/{file.name}") for file in files.list(f"{root}/{folder.name}") if _is_one(file.name)]
    except OSError as error:
        raise SpoolError(f"{error.filename or root}: {error.strerror or error}; run this as the agent's user, or as root") from None
    whole = [one for one in found if one is not None]
    return sorted(whole, key=lambda one: (one.id.partition("/")[0], one.content.get("epoch", ""), one.numbers or (0, 0), one.time, one.id))


def _is_one(name: str) -> bool:
    return name.endswith(".json")


def _read(path: str) -> Kept | None:
    """Return a file, None if it has vanished. Raises OSError."""
    folder, name = path.split("/")[-2:]
    ident = f"{folder}/{name.removesuffix('.json')}"
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        return None
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        return Kept(id=ident, path=path, kind=Kind.UNREADABLE, bytes=len(data))
    return Kept(id=ident, path=path, kind=_kind(folder, content), bytes=len(data), content=content)


def _kind(folder: str, content: dict[str, Any]) -> Kind:
    if folder == DAMAGED:
        return Kind.DAMAGED
    if isinstance(content.get("id"), str):
        return Kind.REFUSED
    return Kind.TOO_LARGE if "reason" in content else Kind.UNREADABLE


def choose(all_of_them: list[Kept], ids: list[str]) -> list[Kept]:
    """Return the files that `ids` name, in the order of `all_of_them`; an id may leave its folder away, and its end, while it is unique.

    Raises:
        SpoolError: an id that names nothing, or several.
    """
    chosen = set()
    for ident in ids:
        matches = list(_matches(all_of_them, ident))
        if len(matches) != 1:
            several = f"names {len(matches)} files: {', '.join(matches[:3])}{', ...' if len(matches) > 3 else ''}; say more of it"
            raise SpoolError(f"quarantine: {ident!r} {several if matches else 'is not there; `device-agent quarantine ls` lists what is'}")
        chosen.add(matches[0])
    return [one for one in all_of_them if one.id in chosen]


def _matches(all_of_them: list[Kept], ident: str) -> Iterator[str]:
    names = [one.id for one in all_of_them]
    exact = [name for name in names if ident in {name, name.partition("/")[2]}]
    yield from exact or (name for name in names if name.startswith(ident) or name.partition("/")[2].startswith(ident))


def drop(one: Kept) -> bool:
    """Remove a file, for good when this returns; False if it was gone already. Raises OSError."""
    files = RealFiles()
    try:
        files.unlink(one.path)
    except FileNotFoundError:
        return False
    files.sync_directory(one.path.rpartition("/")[0])
    return True
