"""Command: `python -m localcloud up` keeps a local cloud until Ctrl-C, and says how to use it."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
import threading

from localcloud.cloud import LocalCloud
from localcloud.deploy import DeployError
from localcloud.ministack import StartError

_HOW = """
An agent's agent.toml:

  [aws]
  region = "{region}"
  endpoint_url = "{device_endpoint_url}"

  [[stream]]
  name = "telemetry"
  queue = "{telemetry_queue_url}"

  [[stream]]
  name = "events"
  queue = "{events_queue_url}"

and its environment, and that of any AWS tool (with --endpoint-url {endpoint_url}):

  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION={region}
"""


def main() -> int:
    """Parse the command line and run; 0 after Ctrl-C, 1 when the cloud does not come up, 2 for wrong usage."""
    parser = argparse.ArgumentParser(
        prog="python -m localcloud",
        description="The cloud half on this machine: MiniStack with the app deployed by the CDK.",
        epilog="example: python -m localcloud up --sse kms",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start, deploy, and stay until Ctrl-C")
    up.add_argument("--stage", default="dev", choices=("dev", "prod"), help="default: dev")
    up.add_argument("--sse", default="sqs", choices=("sqs", "kms"), help="encryption, default: sqs")
    arguments = parser.parse_args()
    return _up(stage=arguments.stage, sse=arguments.sse)


def _up(*, stage: str, sse: str) -> int:
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    try:
        with LocalCloud.start(stage=stage, sse=sse, progress=_say) as cloud:
            _explain(cloud)
            done.wait()
    except KeyboardInterrupt:
        pass  # the wished end
    except (StartError, DeployError) as error:
        _say(str(error))
        return 1
    _say("local cloud: stopped")
    return 0


def _explain(cloud: LocalCloud) -> None:
    outputs = dataclasses.asdict(cloud.outputs)
    for name, value in outputs.items():
        print(f"  {name:32} {value}")
    how = _HOW.format(endpoint_url=cloud.endpoint_url, device_endpoint_url=cloud.device_endpoint_url, **outputs)
    print(how, flush=True)
    _say("local cloud: Ctrl-C stops it and removes its data")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
