"""Facade: one local cloud with the app deployed, from start to stop.

Promises: everything is on loopback; devices reach it through a network of their own that can be cut (`unreachable`), while the
caller's own clients do not; leaving the `with` block stops everything, in every case.

Queue URLs. MiniStack's say `http://localhost:<port>/...`; a device must send to `device_endpoint_url` instead, or it would go
round the network that is to be cut. With an explicit `endpoint_url` every botocore since 1.29 sends there, and the queue's URL is
only a parameter, from which MiniStack takes the queue's name.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config

from localcloud.deploy import Deployment, Outputs, Progress, deploy
from localcloud.ministack import REGION, MiniStack
from localcloud.network import Network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent


def _silent(_: str) -> None:
    """Progress that nobody wants to see."""


class LocalCloud:
    """A running local cloud. Make it with `start`; `stop` is idempotent."""

    def __init__(self, *, server: MiniStack, network: Network, outputs: Outputs) -> None:
        self._server = server
        self._clients: dict[str, Any] = {}
        self.network = network
        self.outputs = outputs

    @classmethod
    def start(cls, *, stage: str = "dev", sse: str = "sqs", progress: Progress = _silent, root: Path = ROOT) -> LocalCloud:
        """Start MiniStack and deploy the checkout at `root` into it: some 5 s, or 15 s when the code is new.

        Raises:
            StartError: MiniStack does not come up.
            DeployError: the app cannot be synthesised or deployed.
        """
        progress("local cloud: starting MiniStack")
        with contextlib.ExitStack() as undo:
            server = MiniStack.start()
            undo.callback(server.stop)
            outputs = deploy(Deployment(root=root, stage=stage, sse=sse), endpoint_url=server.url, progress=progress)
            network = Network(upstream_port=server.port)
            undo.pop_all()
        progress(f"local cloud: ready at {server.url}")
        return cls(server=server, network=network, outputs=outputs)

    @property
    def endpoint_url(self) -> str:
        """For tools and tests: always reachable."""
        return self._server.url

    @property
    def device_endpoint_url(self) -> str:
        """For devices: through the network that `unreachable` cuts."""
        return f"http://127.0.0.1:{self.network.port}"

    @property
    def pid(self) -> int:
        """Process id (and process group) of MiniStack."""
        return self._server.pid

    def client(self, service: str) -> Any:
        """Return a boto3 client with fake credentials, one a service, closed by `stop`."""
        if service not in self._clients:
            session: Any = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)  # noqa: S106 - MiniStack takes any
            config = Config(s3={"addressing_style": "path"}, max_pool_connections=32)
            self._clients[service] = session.client(service, endpoint_url=self.endpoint_url, config=config)
        return self._clients[service]

    @contextlib.contextmanager
    def unreachable(self) -> Iterator[None]:
        """For the time of the `with` block devices are reset and refused."""
        with self.network.down():
            yield

    def log(self, *, lines: int = 40) -> str:
        """Return the end of MiniStack's log, with what the functions wrote."""
        return self._server.log(lines=lines)

    def stop(self) -> None:
        """Stop everything and remove its data."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self.network.close()
        self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
