"""Account: where an operator command finds its tables and queues, and the clients that ask them, with the operator's own credentials.

Names come from the outputs of the deployed stack: read by CloudFormation, or from the file of `cdk deploy --outputs-file`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    ConnectionError,  # noqa: A004  # botocore's own name; the built-in one is not raised here
    CredentialRetrievalError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
)

from device_agent.errors import ConfigError, DeviceAgentError

#: Enough for the threads of one command; retries as botocore has them, an operator waits for nothing in particular.
_CONNECTIONS = 16
_GET_CREDENTIALS = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure` or `aws sso login`"
_NO_CREDENTIALS = (
    NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound, ConfigNotFound, ConfigParseError, SSOError,
)  # fmt: skip
#: Codes of DynamoDB, S3 and SQS, in both of its spellings.
_MISSING = frozenset({"ResourceNotFoundException", "NoSuchBucket", "404", "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"})
#: Common errors, in the spellings of the services that operator commands ask.
_CREDENTIALS = frozenset({
    "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "AuthFailure",
    "SignatureDoesNotMatch", "InvalidSignatureException", "RequestExpired", "InvalidToken", "IncompleteSignature",
    "MissingAuthenticationToken",
})  # fmt: skip
_RIGHTS = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403"})


class Account:
    """One stack of one account. `close` ends its connections."""

    def __init__(self, *, region: str | None, endpoint_url: str | None, outputs: Mapping[str, str]) -> None:
        """Take the operator's own credentials; nothing is asked yet.

        Raises:
            ConfigError: `endpoint_url` is no URL.
            BotoCoreError: AWS_PROFILE names a profile that does not exist.
        """
        if endpoint_url and not endpoint_url.startswith(("http://", "https://")):
            raise ConfigError(f"--endpoint-url {endpoint_url}: is no URL, such as http://localhost:4566")
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
    """What AWS refuses becomes an error of ours: one line with the command's name, what is wrong, and what to do.

    Raises:
        ConfigError: what the user says or has set is wrong: a name, the region, the credentials, their rights.
        DeviceAgentError: AWS cannot be reached, or refused something else.
    """
    try:
        yield
    except ClientError as error:
        raise _refusal(command, error) from None
    except BotoCoreError as error:
        raise _local(command, error) from None


def _refusal(command: str, error: ClientError) -> DeviceAgentError:
    told = error.response.get("Error", {})
    code, words = str(told.get("Code", "")), " ".join(str(told.get("Message", "")).split())[:200]
    what = f"{command}: {error.operation_name} was refused: {words or code} ({code})"
    if code in _MISSING or (code == "ValidationError" and words.endswith("does not exist")):
        return ConfigError(f"{what}; check the names, and --region")
    if code in _CREDENTIALS:
        return ConfigError(f"{what}; {_GET_CREDENTIALS}")
    if code in _RIGHTS:
        return ConfigError(f"{what}; use credentials that may do this (docs/operations.md)")
    return DeviceAgentError(what)


def _local(command: str, error: BotoCoreError) -> DeviceAgentError:
    words = " ".join(str(error).split())
    if isinstance(error, NoRegionError | InvalidRegionError):
        return ConfigError(f"{command}: {words.rstrip('.')}; say --region, such as eu-central-1, or set AWS_DEFAULT_REGION")
    if isinstance(error, _NO_CREDENTIALS):
        return ConfigError(f"{command}: {words}; {_GET_CREDENTIALS}")
    if isinstance(error, HTTPClientError | ConnectionError):
        return DeviceAgentError(f"{command}: {words}; check the network, --region and --endpoint-url")
    return DeviceAgentError(f"{command}: {words}")
