"""The cloud half on a laptop: MiniStack on loopback, and the real app deployed into it by the real CDK.

`with LocalCloud.start() as cloud:` is the whole interface; `python -m localcloud up` is the same for people. It is what the demo, the
end-to-end tests and the benchmarks run on. What it does not do as AWS does: docs/deploy.md.
"""

from __future__ import annotations

from localcloud.cloud import LocalCloud
from localcloud.deploy import DeployError, Outputs
from localcloud.ministack import StartError

__all__ = ["DeployError", "LocalCloud", "Outputs", "StartError"]
