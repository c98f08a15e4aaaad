"""What goes wrong, when. A fault applies to `times` requests (for ever if None) that `only` lets through, in the order of the script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

#: What happens to the request.
#: "error"      it is refused with `code`, `status`
#: "entries"    entries whose index is in `entries` fail with `code` and `sender_fault`; the others are accepted
#: "unnamed"    entries whose index is in `entries` are named neither in Successful nor in Failed (and not accepted)
#: "lost"       accepted, then no answer: the connection is closed
#: "hang"       accepted, then no answer for `seconds`
#: "reset"      reset in the middle of the request's body; nothing is accepted
#: "html"       a page, as a captive portal answers
#: "garbage"    rubbish with status 200
#: "page"       a page with `status`, `message` and `content_type`, as a proxy answers
#: "endless"    an answer whose length nobody says, and that does not end
#: "drip"       an answer of a byte every 50 ms
#: "slow"       accepted and answered after `seconds`
Kind = Literal["error", "entries", "unnamed", "lost", "hang", "reset", "html", "garbage", "page", "endless", "drip", "slow"]


@dataclass
class Fault:
    """One line of the script."""

    kind: Kind
    code: str = ""
    status: int = 400
    message: str = ""
    content_type: str = "text/html"
    sender_fault: bool = True
    entries: Sequence[int] = ()
    seconds: float = 0.0
    times: int | None = 1
    only: Mapping[str, str] = field(default_factory=dict)  # "operation" and "queue" (name) that it applies to

    def matches(self, operation: str, queue: str) -> bool:
        """Whether it applies, and how often still."""
        if self.times == 0:
            return False
        wanted = {"operation": "SendMessageBatch", **self.only}
        return wanted["operation"] == operation and wanted.get("queue", queue) == queue
