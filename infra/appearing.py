"""Appearing: a folder that is filled beside its final place and gets there in one step.

Promises: at the final place there is nothing, or the whole folder. Several processes may make the same one at once: the first wins, and
the others find theirs made.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appearing(final: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `final` at the end; after an error nothing is left of it."""
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=final.parent, prefix=".draft-"))
    try:
        yield draft
        draft.chmod(0o755)
        try:
            draft.rename(final)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:  # rename(2): another process was faster
                raise
    finally:
        if draft.exists():
            shutil.rmtree(draft)
