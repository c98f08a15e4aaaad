"""Command: `python -m localcloud up` keeps a local cloud until Ctrl-C, and says how to use it."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from localcloud.interrupts import Interrupts

if TYPE_CHECKING:
    from localcloud.cloud import LocalCloud

_HOW = """
In each shell that uses it:

  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION={region}

A configuration with these queues, an agent that sends to them, five orders, and what arrived of them:

  {bin}/device-agent init {queues} --endpoint-url {device_endpoint_url} --spool {own}-spool --output {own}.toml
  {bin}/device-agent run --config {own}.toml &
  {bin}/python {examples}/order_req.py --count 5
  {bin}/device-agent audit {names} --endpoint-url {endpoint_url}

Any AWS tool: --endpoint-url {endpoint_url}
"""


def main() -> int:
    """Parse the command line and run; 0 after Ctrl-C (130 before the cloud is up), 1 when it does not come up, 2 for wrong usage."""
    interrupts = Interrupts()
    try:
        arguments = _arguments()
        return _up(interrupts, stage=arguments.stage, sse=arguments.sse, outputs_file=arguments.outputs_file)
    except KeyboardInterrupt:
        _say("local cloud: interrupted, everything is stopped")
        return 130
    finally:
        interrupts.disarm()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m localcloud",
        description="The cloud half on this machine: MiniStack with the app deployed by the CDK.",
        epilog="example: python -m localcloud up --outputs-file outputs.json",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start, deploy, and stay until Ctrl-C")
    up.add_argument("--stage", default="dev", choices=("dev", "prod"), help="default: dev")
    up.add_argument("--sse", default="sqs", choices=("sqs", "kms"), help="encryption, default: sqs")
    up.add_argument(
        "--outputs-file", type=_writable, metavar="FILE", help="write the stack's outputs as JSON, as `cdk deploy --outputs-file` does"
    )
    return parser.parse_args()


def _writable(text: str) -> Path:
    """Say no before the deployment, not after it."""
    path = Path(text)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text}: cannot be written; name a file in a folder that is there")
    return path


def _up(interrupts: Interrupts, *, stage: str, sse: str, outputs_file: Path | None) -> int:
    # Half a second, in which Ctrl-C may come, too.
    from localcloud.cloud import LocalCloud  # noqa: PLC0415
    from localcloud.deploy import DeployError  # noqa: PLC0415
    from localcloud.ministack import StartError  # noqa: PLC0415

    try:
        with LocalCloud.start(stage=stage, sse=sse, outputs_file=outputs_file, progress=interrupts.checked(_say)) as cloud:
            try:
                _explain(cloud, outputs_file)
                interrupts.check()
                threading.Event().wait()
            except KeyboardInterrupt:
                pass  # the wished end
            finally:
                interrupts.disarm()
    except (StartError, DeployError) as error:
        _say(str(error))
        return 1
    _say("local cloud: stopped")
    return 0


def _explain(cloud: LocalCloud, outputs_file: Path | None) -> None:
    from localcloud.cloud import ROOT  # noqa: PLC0415

    outputs = dataclasses.asdict(cloud.outputs)
    for name, value in outputs.items():
        print(f"  {name:32} {value}")
    if outputs_file:
        queues = names = f"--outputs {shlex.quote(str(outputs_file))}"
    else:
        queues = " ".join(
            f"--{option} {outputs[name]}"
            for option, name in (("region", "region"), ("telemetry-queue", "telemetry_queue_url"), ("events-queue", "events_queue_url"))
        )
        names = f"--stack {cloud.stack}"
    how = _HOW.format(
        bin=_short(Path(sys.executable).parent),
        examples=_short(ROOT / "examples"),
        queues=queues,
        names=names,
        # Of this cloud alone: the next one knows nothing of what this one was sent.
        own=shlex.quote(f"{tempfile.gettempdir()}/agent-{cloud.network.port}"),
        endpoint_url=cloud.endpoint_url,
        device_endpoint_url=cloud.device_endpoint_url,
        region=cloud.outputs.region,
    )
    print(how, flush=True)
    _say("local cloud: Ctrl-C stops it and removes its data")


def _short(folder: Path) -> str:
    """Return a folder as it can be typed here."""
    return shlex.quote(min(str(folder), os.path.relpath(folder), key=len))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
