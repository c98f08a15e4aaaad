"""Account: the arguments by which operator commands find the cloud half, and what they lead to."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from device_agent.errors import ConfigError

if TYPE_CHECKING:
    from device_agent.operate.account import Account


def add_account(parser: argparse.ArgumentParser) -> None:
    """Add `--outputs`, `--stack`, `--region` and `--endpoint-url`."""
    parser.add_argument("--outputs", type=Path, metavar="FILE", help="names from the JSON of `cdk deploy --outputs-file FILE`")
    parser.add_argument("--stack", metavar="NAME", help="names from the outputs of this CloudFormation stack (instead of --outputs)")
    parser.add_argument("--region", help="AWS region (default: the stack's, or as the AWS command line would have it)")
    parser.add_argument("--endpoint-url", metavar="URL", help="of a local cloud")


@contextmanager
def opened(args: argparse.Namespace, command: str, *, needed: set[str], named: Mapping[str, str] | None = None) -> Iterator[Account]:
    """Yield the account that the arguments name, with all `needed` outputs (or with those `named` instead); close it at the end.

    Raises:
        ConfigError: neither --outputs nor --stack, or outputs that lack something.
        DeviceAgentError: AWS refused something, or cannot be reached.
    """
    from device_agent.cli.outputs import read_outputs  # noqa: PLC0415  # not for --help
    from device_agent.operate.account import Account, asking  # noqa: PLC0415  # brings boto3

    with asking(command):
        if named:
            account = Account(region=args.region, endpoint_url=args.endpoint_url, outputs=named)
        elif args.outputs:
            account = Account(region=args.region, endpoint_url=args.endpoint_url, outputs=read_outputs(args.outputs, needed=needed))
        elif args.stack:
            account = Account.of_stack(args.stack, region=args.region, endpoint_url=args.endpoint_url)
        else:
            raise ConfigError(f"{command}: say --outputs FILE or --stack NAME")
        try:
            yield account
        finally:
            account.close()
