"""Look at what was set aside, send it again, or remove it.

In quarantine is what the cloud refused for good (its place was taken by a notice, so nothing waits for it), readings too large for the log,
and damaged bytes of the log. `replay` sends what was refused straight to the stream's queue, once the cause is mended, and removes the file
only when the queue has accepted it. On a FIFO queue the notice took the place in the order: a replay reaches the lake, not the state table.
`drop` removes files for good, after a question or with --yes. All of it may run beside the agent. ID is what `ls` shows, or its beginning.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Final

from device_agent.cli.place import Place, add_place, find
from device_agent.errors import ConfigError, DeviceAgentError, NotNow

if TYPE_CHECKING:
    from device_agent.config import Config, StreamConfig
    from device_agent.spool.aside import Kept

HELP = "look at what was set aside, send it again, or remove it"
EXAMPLE = """
device-agent quarantine ls --config agent.toml
device-agent quarantine show --config agent.toml events/00112233aabbccdd-7-11
device-agent quarantine replay --config agent.toml --all --stream events
device-agent quarantine drop --config agent.toml events/00112233aabbccdd-7-11
"""


_ACTIONS: Final = {
    "ls": "list what was set aside, why, and what can be done",
    "show": "show one with its readings",
    "replay": "send again what was refused, and remove it here when the queue has accepted it",
    "drop": "remove for good",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions, each a parser of its own: so IDs and options may stand in any order."""
    choices = parser.add_subparsers(dest="action", required=True, metavar=f"{{{','.join(_ACTIONS)}}}", title="actions")
    for name, text in _ACTIONS.items():
        sub = choices.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)
        sub.set_defaults(ids=[], all=False, json=False, yes=False)
        if name != "ls":
            sub.add_argument("ids", nargs="*", metavar="ID", help="which files: what `ls` shows, or its beginning")
            sub.add_argument("--all", action="store_true", help="all files instead of IDs")
        add_place(sub)
        sub.add_argument("--stream", default="", metavar="NAME", help=f"{'' if name == 'ls' else 'with --all: '}only this stream")
        if name in {"ls", "show"}:
            sub.add_argument("--json", action="store_true", help="as JSON, with the bodies")
        if name == "drop":
            sub.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    """Do it; 1 if something could not be replayed, or nobody said yes to `drop`."""
    from device_agent.spool import aside, tools  # noqa: PLC0415  # not for --help

    if args.action != "ls" and bool(args.ids) == args.all:
        raise ConfigError(f"quarantine: `{args.action}` needs IDs (`device-agent quarantine ls` shows them) or --all")
    place = find(args)
    tools.streams(place.directory)  # says what is wrong if this is no spool
    there = aside.kept(place.directory)
    chosen = aside.choose(there, args.ids) if args.ids else [one for one in there if args.stream in {"", one.stream}]
    actions = {"ls": _ls, "show": _show, "replay": _replay, "drop": _drop}
    return actions[args.action](args, place, chosen)


def _ls(args: argparse.Namespace, place: Place, chosen: list[Kept]) -> int:  # noqa: ARG001  # one shape for all actions
    from device_agent.cli import quarantinepage  # noqa: PLC0415  # not for --help

    if args.json:
        print(json.dumps([quarantinepage.document(one) for one in chosen], indent=1))
    else:
        print("\n".join(quarantinepage.lines(chosen)))
    return 0


def _show(args: argparse.Namespace, place: Place, chosen: list[Kept]) -> int:  # noqa: ARG001  # one shape for all actions
    from device_agent.cli import quarantinepage  # noqa: PLC0415  # not for --help

    for one in chosen:
        if args.json:
            print(json.dumps(quarantinepage.document(one) | {"rows": list(quarantinepage.rows(one))}))
        else:
            print("\n".join(quarantinepage.page(one)))
    return 0


def _replay(args: argparse.Namespace, place: Place, chosen: list[Kept]) -> int:  # noqa: ARG001  # one shape for all actions
    """Send one by one, in order; stop where the network, not the message, is the matter."""
    from device_agent.spool import aside  # noqa: PLC0415  # not for --help

    if place.config is None:
        raise ConfigError("quarantine: `replay` needs the configuration, for the queue and the credentials: say --config FILE")
    sent = 0
    fifo = False
    for at, one in enumerate(chosen):
        try:
            stream = _send(place.config, one)
        except NotNow as error:
            print(f"{one.id}: not sent: {error}", file=sys.stderr)
            print(f"stopped; {len(chosen) - at:,} stay in quarantine. Run it again when that is mended", file=sys.stderr)
            return 1
        except DeviceAgentError as error:
            print(f"{one.id}: stays in quarantine: {error}", file=sys.stderr)
            continue
        aside.drop(one)
        sent += 1
        fifo = fifo or stream.fifo
        print(f"{one.id}: accepted by the queue, removed here", flush=True)
    if fifo:
        print("a notice had taken their place in the order: they reach the lake, not the state table", file=sys.stderr)
    print(f"{sent:,} of {len(chosen):,} replayed", file=sys.stderr)
    return 0 if sent == len(chosen) else 1


def _send(config: Config, one: Kept) -> StreamConfig:
    """Send the body as it was, under its own id; return its stream. Raises `DeviceAgentError`; `NotNow` if others would fail as well."""
    from device_agent import packer, uplink  # noqa: PLC0415  # brings boto3
    from device_agent.spool.aside import Kind  # noqa: PLC0415
    from device_agent.wire import envelope  # noqa: PLC0415
    from device_agent.wire.errors import EnvelopeError  # noqa: PLC0415

    if one.kind is not Kind.REFUSED:
        raise DeviceAgentError(f"{one.kind.value}: only what the cloud refused can be sent again (`device-agent quarantine show`)")
    body = one.content.get("body")
    if one.cut or not isinstance(body, str) or one.numbers is None:
        raise DeviceAgentError("its body was too large to be kept, so there is nothing to send")
    stream = next((stream for stream in config.stream if stream.name == one.stream), None)
    if stream is None:
        raise DeviceAgentError(f"no [[stream]] of the name {one.stream!r} is configured, so its queue is unknown")
    try:
        device = envelope.decode(body).device
    except EnvelopeError as error:
        raise DeviceAgentError(f"the cloud could not decode it either: {error}") from None
    ident = str(one.content["id"])
    message = packer.Message(
        id=ident, first=one.numbers[0], last=one.numbers[1], body=body, size=len(body.encode()),
        group=packer.group_id(stream.group, device=device, stream=stream.name, fifo=stream.fifo),
        deduplication_id=ident if stream.fifo else None,
    )  # fmt: skip
    uplink.send_once(config.aws, stream, message, config=config.uplink)
    return stream


def _drop(args: argparse.Namespace, place: Place, chosen: list[Kept]) -> int:  # noqa: ARG001  # one shape for all actions
    from device_agent.cli import quarantinepage  # noqa: PLC0415  # not for --help
    from device_agent.spool import aside  # noqa: PLC0415

    if not chosen:
        print("nothing to drop", file=sys.stderr)
        return 0
    if not args.yes:
        if not sys.stdin.isatty():
            raise ConfigError("quarantine: `drop` removes files for good; say --yes where nobody can be asked")
        print("\n".join(quarantinepage.lines(chosen)))
        if not _agreed(f"remove {len(chosen):,} of them for good? [y/N] "):
            print("nothing was removed", file=sys.stderr)
            return 1
    gone = sum(aside.drop(one) for one in chosen)
    print(f"{gone:,} removed", file=sys.stderr)
    return 0


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in {"y", "yes"}
    except EOFError:
        return False
