"""Account: where an operator command finds its tables and queues, and the clients that ask them, with the operator's own credentials.

Names come from the outputs of the deployed stack: read by CloudFormation, or from the file of `cdk deploy --outputs-file`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from device_agent.errors import ConfigError, DeviceAgentError

#: Enough for the threads of one command; retries as botocore has them, an operator waits for nothing in particular.
_CONNECTIONS = 16


class Account:
    """One stack of one account. `close` ends its connections."""

    def __init__(self, *, region: str | None, endpoint_url: str | None, outputs: Mapping[str, str]) -> None:
        self._session = boto3.Session(region_name=region or outputs.get("Region"))
        self._endpoint_url = endpoint_url
        self._outputs = outputs
        self._clients: dict[str, Any] = {}

    @classmethod
    def of_stack(cls, stack: str, *, region: str | None, endpoint_url: str | None) -> Account:
        """Ask CloudFormation for the stack's outputs.

        Raises:
            ClientError, BotoCoreError: AWS refuses, or cannot be reached.
        """
        account = cls(region=region, endpoint_url=endpoint_url, outputs={})
        [described] = account.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        account._outputs = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}
        return account

    def client(self, service: str) -> Any:
        """Return a boto3 client, one a service."""
        if service not in self._clients:
            config = Config(max_pool_connections=_CONNECTIONS, s3={"addressing_style": "path"} if self._endpoint_url else {})
            client: Any = self._session.client(service, endpoint_url=self._endpoint_url, config=config)  # type: ignore[call-overload]
            self._clients[service] = client
        return self._clients[service]

    def __getitem__(self, output: str) -> str:
        """Return an output of the stack.

        Raises:
            ConfigError: it has none of that name.
        """
        try:
            return self._outputs[output]
        except KeyError:
            raise ConfigError(f"the stack has no output {output}: name the ingestion stack, and deploy it anew if it is older") from None

    def close(self) -> None:
        """Close all clients."""
        for client in self._clients.values():
            client.close()


@contextmanager
def asking(command: str) -> Iterator[None]:
    """What AWS refuses becomes an error of ours, with the command's name before it."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise DeviceAgentError(f"{command}: {error}") from None
