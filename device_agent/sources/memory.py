"""Memory: what a source must know after a restart, a few bytes in a file of its own beside the spool.

Promises: after a crash the file holds what was there before or what was written, and nothing between; one with something else is empty.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from device_agent.errors import NotNow


def recall(path: Path) -> list[str]:
    """Return the texts in the file; none if there is no file, or it holds something else. Raises `NotNow`."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return []
    except OSError as error:
        raise NotNow(f"cannot read {path}: {error.strerror}") from None
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def remember(path: Path, texts: list[str]) -> None:
    """Write the texts, synced. Raises `NotNow`."""
    try:
        _write(path, texts)
    except OSError as error:
        raise NotNow(f"cannot write {path}: {error.strerror}") from None


def _write(path: Path, texts: list[str]) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(texts, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
