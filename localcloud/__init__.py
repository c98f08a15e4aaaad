"""The cloud half on a laptop: MiniStack on loopback, and the real app deployed into it by the real CDK.

`with LocalCloud.start() as cloud:` is the whole interface; `python -m localcloud up` is the same for people. It is what the demo, the
end-to-end tests and the benchmarks run on. What it does not do as AWS does: docs/deploy.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localcloud.cloud import LocalCloud
    from localcloud.deploy import DeployError, Outputs
    from localcloud.ministack import StartError

_HOMES = {
    "DeployError": "localcloud.deploy",
    "LocalCloud": "localcloud.cloud",
    "Outputs": "localcloud.deploy",
    "StartError": "localcloud.ministack",
}

__all__ = ["DeployError", "LocalCloud", "Outputs", "StartError"]


def __getattr__(name: str) -> Any:
    """Import on first use (PEP 562): the server's own process needs `mends` alone, half a second sooner."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
