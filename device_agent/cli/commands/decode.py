"""Decode bodies of SQS messages: one JSON line a reading on standard output, with the columns of the lake.

Reads files or standard input. Each line is a body, or a message with `Body` (`body` in a Lambda event), or a whole answer of
`aws sqs receive-message`; documents over several lines are understood too. What cannot be decoded is reported with its place on standard
error, the rest is decoded, and the exit code is 1. A notice (readings that will not come) is a line of its own with the key `notice`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

HELP = "decode bodies of SQS messages to JSON lines"
EXAMPLE = """
aws sqs receive-message --queue-url "$QUEUE" --max-number-of-messages 10 | device-agent decode
device-agent decode body.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="files with bodies or messages; - or nothing: standard input")


def run(args: argparse.Namespace) -> int:
    """Decode all files; 1 if anything was not valid."""
    good = True
    for name in args.files or ["-"]:
        if name == "-":
            sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape")  # type: ignore[union-attr]  # a text file, in practice
            good &= _stream(sys.stdin, "stdin")
            continue
        try:
            with Path(name).open(encoding="utf-8-sig", errors="surrogateescape") as file:
                good &= _stream(file, name)
        except OSError as error:
            if error.filename is None:  # not of this file: standard output is closed or full
                raise
            print(f"{name}: {error.strerror}", file=sys.stderr)
            good = False
    return 0 if good else 1


def _stream(file: TextIO, name: str) -> bool:
    from device_agent.cli.rows import line as line_of  # noqa: PLC0415  # brings zstd and MessagePack: not for --help
    from device_agent.cli.rows import rows_of  # noqa: PLC0415
    from device_agent.wire import envelope  # noqa: PLC0415
    from device_agent.wire.errors import EnvelopeError  # noqa: PLC0415

    good = True
    for line, body in _bodies(file):
        try:
            rows = rows_of(envelope.decode(body))
        except EnvelopeError as error:
            print(f"{name}:{line}: not a valid body: {error}", file=sys.stderr)
            good = False
            continue
        for row in rows:
            print(line_of(row))
    return good


def _bodies(file: TextIO) -> Iterator[tuple[int, str]]:
    """Yield (line, body); what is not JSON is yielded as it stands, and `decode` says what is wrong with it."""
    number = 0
    for text in file:
        number += 1
        if not text.strip():
            continue
        if _complete(text):
            yield from ((number, body) for body in _unwrap(text))
        elif text.lstrip()[0] in "{[":  # a document over several lines: all the rest may be
            yield from _documents(text + file.read(), number)
        else:
            yield number, text


def _complete(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _documents(text: str, number: int) -> Iterator[tuple[int, str]]:
    """Yield the bodies of JSON documents one behind the other; at the first damage the rest goes line by line."""
    decoder, at = json.JSONDecoder(), 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        line = number + text.count("\n", 0, at)
        try:
            _, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = text.find("\n", at) % (len(text) + 1)  # -1, no further line, becomes the end
        yield from ((line, body) for body in _unwrap(text[at:end]))
        at = end


def _unwrap(text: str) -> Iterator[str]:
    """Yield the bodies in a document: its own text unless it is a message, a list of them, or an answer that holds some."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    messages = _messages(document)
    if messages is None:
        yield text.strip()
        return
    for message in messages:
        yield message if isinstance(message, str) else json.dumps(message)


def _messages(document: object) -> list[Any] | None:
    """Return the bodies of messages, None if the document is no wrapping of any."""
    if isinstance(document, list):
        return [body for element in document for body in (_messages(element) or [element])]
    if not isinstance(document, dict):
        return None
    for key in ("Messages", "Records"):
        if isinstance(document.get(key), list):
            return _messages(document[key])
    return next(([document[key]] for key in ("Body", "body") if isinstance(document.get(key), str)), None)
