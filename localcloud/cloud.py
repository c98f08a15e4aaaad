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

    def __init__(self, *, server: MiniStack, network: Network, outputs: Outputs, stack: str) -> None:
        self._server = server
        self._clients: dict[str, Any] = {}
        self.network = network
        self.outputs = outputs
        self.stack = stack

    @classmethod
    def start(
        cls,
        *,
        stage: str = "dev",
        sse: str = "sqs",
        enforce: bool = False,
        progress: Progress = _silent,
        root: Path = ROOT,
        outputs_file: Path | None = None,
    ) -> LocalCloud:
        """Start MiniStack and deploy the checkout at `root` into it: some 5 s, or 15 s when the code is new.

        With `enforce` it speaks TLS only (by `certificate`), checks signatures, and holds every caller to its IAM policies: the
        functions to their roles', assumed roles to theirs. The key `test` of `client` stays the account's root. `outputs_file` gets
        what `cdk deploy --outputs-file` writes.

        Raises:
            StartError: MiniStack does not come up.
            DeployError: the app cannot be synthesised or deployed.
        """
        progress("local cloud: starting MiniStack")
        with contextlib.ExitStack() as undo:
            server = MiniStack.start(enforce=enforce)
            undo.callback(server.stop)
            deployment = Deployment(root=root, stage=stage, sse=sse)
            outputs = deploy(
                deployment, endpoint_url=server.url, progress=progress, certificate=server.certificate, outputs_file=outputs_file
            )
            network = Network(upstream_port=server.port)
            undo.pop_all()
        progress(f"local cloud: ready at {server.url}")
        return cls(server=server, network=network, outputs=outputs, stack=deployment.stack)

    @property
    def endpoint_url(self) -> str:
        """For tools and tests: always reachable."""
        return self._server.url

    @property
    def device_endpoint_url(self) -> str:
        """For devices: through the network that `unreachable` cuts."""
        scheme = "https" if self.certificate else "http"
        return f"{scheme}://127.0.0.1:{self.network.port}"

    @property
    def certificate(self) -> Path | None:
        """What a client must trust (`AWS_CA_BUNDLE`, boto3's `verify`) when the cloud enforces TLS."""
        return self._server.certificate

    @property
    def pid(self) -> int:
        """Process id (and process group) of MiniStack."""
        return self._server.pid

    def client(self, service: str) -> Any:
        """Return a boto3 client of the account's root, one a service, closed by `stop`."""
        if service not in self._clients:
            self._clients[service] = self.client_as(service, access_key="test", secret_key="test")  # noqa: S106 - MiniStack's own
        return self._clients[service]

    def client_as(self, service: str, *, access_key: str, secret_key: str, token: str | None = None) -> Any:
        """Return a boto3 client with given credentials; the caller closes it."""
        session: Any = boto3.Session(
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            aws_session_token=token,
            region_name=REGION,
        )
        config = Config(s3={"addressing_style": "path"}, max_pool_connections=32)
        verify = str(self.certificate) if self.certificate else None
        return session.client(service, endpoint_url=self.endpoint_url, config=config, verify=verify)

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
