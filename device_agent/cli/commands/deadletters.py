"""Look at dead letters, copy them to a file, send them back.

A dead letter is a message that no function could land: it could not be decoded, it contradicts an envelope that is in the lake, or its
function failed too often. `list` (exit code 1 if there are any), `show` and `export` change nothing. `redrive` sends letters back to their
queue: landing recognises what is in the lake already, and late events never overwrite newer state, so it may be repeated. Mend the cause
first: what cannot be decoded comes back.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from device_agent.errors import ConfigError

if TYPE_CHECKING:
    from device_agent.operate.account import Account
    from device_agent.operate.deadletters import DeadLetterQueue, Redriven
    from device_agent.operate.letters import Choice, Letter

HELP = "list, show, export or redrive messages that could not be landed"
EXAMPLE = """
device-agent deadletters list --outputs outputs.json
device-agent deadletters show --outputs outputs.json --device board-7
device-agent deadletters export --outputs outputs.json --output letters.ndjson
device-agent deadletters redrive --outputs outputs.json --queue telemetry
"""

#: Queue as the command line says it -> the outputs of the stack with the dead-letter queue and the queue it belongs to.
_QUEUES = {
    "telemetry": ("TelemetryDeadLetterQueueUrl", "TelemetryQueueUrl"),
    "events": ("EventsDeadLetterQueueUrl", "EventsQueueUrl"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: actions are a positional word, so that all options may stand anywhere."""
    from device_agent.cli.account import add_account  # noqa: PLC0415  # small, but not for the list of commands

    parser.add_argument("action", choices=["list", "show", "export", "redrive"], metavar="{list,show,export,redrive}", help="what to do")
    parser.add_argument("--queue", choices=[*_QUEUES, "all"], default="all", help="whose dead letters (default: all)")
    add_account(parser)
    parser.add_argument("--id", action="append", default=[], metavar="ID", help="only the letter with this message id; may be repeated")
    parser.add_argument("--device", metavar="ID", help="only letters that name this device")
    parser.add_argument("--stream", metavar="NAME", help="only letters that name this stream")
    parser.add_argument("--reason", metavar="TEXT", help="only letters whose reason contains this")
    parser.add_argument("--limit", type=int, default=1_000, metavar="N", help="list, show, export: look at N letters (default: 1000)")
    parser.add_argument("--json", action="store_true", help="list, show: as JSON")
    parser.add_argument("--output", type=Path, metavar="FILE", help="export: where to (default: standard output)")
    parser.add_argument("--delete", action="store_true", help="export: delete each letter once it is on disk in --output")
    parser.add_argument("--one-by-one", action="store_true", help="redrive: receive, send and delete here, without SQS's own move task")


def run(args: argparse.Namespace) -> int:
    """Do it for each queue; 1 if something is in a queue (`list`), was not found, or could not be done."""
    from device_agent.cli.account import opened  # noqa: PLC0415
    from device_agent.operate.letters import Choice  # noqa: PLC0415

    if args.delete and (args.action != "export" or args.output is None):
        raise ConfigError("deadletters: --delete goes with export --output FILE only")
    if args.limit < 1:
        raise ConfigError("deadletters: --limit is at least 1")
    choice = Choice(ids=frozenset(args.id), device=args.device, stream=args.stream, reason=args.reason)
    if args.delete and not choice.everything:
        raise ConfigError("deadletters: --delete takes all letters of a queue; it cannot go with --id, --device, --stream or --reason")
    names = list(_QUEUES) if args.queue == "all" else [args.queue]
    actions: dict[str, Callable[[argparse.Namespace, Account, list[str], Choice], int]] = {
        "list": _list, "show": _show, "export": _export, "redrive": _redrive,
    }  # fmt: skip
    with opened(args, "deadletters", needed={output for name in names for output in _QUEUES[name]}) as account:
        return actions[args.action](args, account, names, choice)


def _queue(account: Account, name: str) -> DeadLetterQueue:
    from device_agent.operate.deadletters import DeadLetterQueue  # noqa: PLC0415

    return DeadLetterQueue(account.client("sqs"), account[_QUEUES[name][0]])


def _look(args: argparse.Namespace, account: Account, name: str, choice: Choice) -> tuple[list[Letter], int]:
    """Return the chosen letters, and how many were not seen; say so."""
    look = _queue(account, name).look(limit=args.limit)
    if look.unseen:
        why = "SQS shows ten letters of a message group at a time" if name == "events" else "--limit, or they are held by somebody else"
        print(f"{name}: {look.unseen} more were not looked at ({why})", file=sys.stderr)
    return [letter for letter in look.letters if letter in choice], look.unseen


def _list(args: argparse.Namespace, account: Account, names: list[str], choice: Choice) -> int:
    from device_agent.cli import table  # noqa: PLC0415
    from device_agent.operate.letters import summary  # noqa: PLC0415

    rows, document, total = [], {}, 0
    for name in names:
        letters, unseen = _look(args, account, name, choice)
        total += len(letters) + unseen
        kinds = summary(letters)
        rows += [(name, *kind) for kind in kinds]
        heads = ("device", "stream", "reason", "letters", "oldest")
        document[name] = {"letters": len(letters), "unseen": unseen, "kinds": [dict(zip(heads, kind, strict=True)) for kind in kinds]}
    if args.json:
        print(json.dumps(document, indent=1))
    elif rows:
        cells = [(name, device, stream, count, oldest, _quoted(reason)) for name, device, stream, reason, count, oldest in rows]
        print("\n".join(table.lines(("queue", "device", "stream", "letters", "oldest", "reason"), cells)))
    else:
        print("no dead letters")
    return 1 if total else 0


def _show(args: argparse.Namespace, account: Account, names: list[str], choice: Choice) -> int:
    shown = 0
    for name in names:
        for letter in _look(args, account, name, choice)[0]:
            document = {"queue": name, **letter.document()}
            if args.json:
                print(json.dumps(document | {"rows": list(_rows(letter))}))
            else:
                print("\n".join(_page(document, letter)))
            shown += 1
    if not shown:
        print("deadletters: nothing to show", file=sys.stderr)
    return 0 if shown else 1


def _rows(letter: Letter) -> Iterator[dict[str, Any]]:
    from device_agent.cli.rows import rows_of  # noqa: PLC0415
    from device_agent.wire.errors import EnvelopeError  # noqa: PLC0415

    content = letter.content()
    if not isinstance(content, EnvelopeError):
        yield from rows_of(content)


def _page(document: dict[str, Any], letter: Letter) -> Iterator[str]:
    from device_agent.wire.errors import EnvelopeError  # noqa: PLC0415

    yield f"--- {letter.id} ({document['queue']})"
    for key in ("device", "stream", "sent", "receives", "function", "group"):
        if document[key] is not None:
            yield f"{key:<9} {document[key]}"
    yield f"{'reason':<9} {_quoted(letter.reason)}"
    content = letter.content()
    if isinstance(content, EnvelopeError):
        yield f"{'decoded':<9} no: {_quoted(str(content))}"
        yield f"{'body':<9} {_quoted(letter.body[:500])}"
        if len(letter.body) > 500:
            yield f"{'':<9} and {len(letter.body) - 500:,} characters more: export has them"
        return
    yield f"{'decoded':<9} {content.id}, digest {content.digest()}"
    yield from (json.dumps(row) for row in _rows(letter))


def _quoted(text: str) -> str:
    """Return text as it stands where a terminal may have it, as JSON otherwise."""
    return text if text.isascii() and text.isprintable() else json.dumps(text)


def _export(args: argparse.Namespace, account: Account, names: list[str], choice: Choice) -> int:
    count, unseen = 0, 0
    with contextlib.ExitStack() as files:
        file: TextIO = files.enter_context(args.output.open("a", encoding="ascii")) if args.output else sys.stdout
        for name in names:

            def keep(letters: list[Letter], queue: str = name) -> None:
                file.writelines(json.dumps({"queue": queue, **letter.document()}) + "\n" for letter in letters)
                file.flush()
                if args.output:
                    os.fsync(file.fileno())

            if args.delete:
                count += _queue(account, name).drain(keep)
            else:
                letters, missed = _look(args, account, name, choice)
                keep(letters)
                count, unseen = count + len(letters), unseen + missed
    print(f"{count:,} letters written{' and deleted' if args.delete else ''}", file=sys.stderr)
    return 1 if unseen else 0


def _redrive(args: argparse.Namespace, account: Account, names: list[str], choice: Choice) -> int:
    from device_agent.cli import table  # noqa: PLC0415

    rows, failed, reasons = [], 0, list[str]()
    for name in names:
        queue, target = _queue(account, name), account[_QUEUES[name][1]]
        done = _moved(args, queue, target, choice)
        rows.append((name, done.moved, done.failed, queue.count()))
        failed += done.failed
        reasons += [f"{name}: {reason}" for reason in done.reasons]
    print("\n".join(table.lines(("queue", "sent back", "failed", "left"), rows)))
    print("\n".join(reasons), file=sys.stderr, end="\n" if reasons else "")
    return 1 if failed else 0


def _moved(args: argparse.Namespace, queue: DeadLetterQueue, target: str, choice: Choice) -> Redriven:
    """Let SQS move everything where it can; choose and send from here otherwise."""

    def progress(count: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{queue.name}: {count:,}", end="", file=sys.stderr, flush=True)

    if queue.count() == 0:
        from device_agent.operate.deadletters import Redriven  # noqa: PLC0415

        return Redriven(moved=0)
    if choice.everything and not args.one_by_one:
        done = queue.move(target, wait=lambda: time.sleep(1), progress=progress)
        if done is not None:
            return done
    return queue.send_back(target, choice=choice, progress=progress)
