"""Reference: the pages under docs/reference and the packaged sample, made from the config's fields and the commands' parsers.

    python -m device_agent.cli.reference          write them
    python -m device_agent.cli.reference --check  exit code 1 if one is stale

Promises: the same text on every Python; what argparse prints differs between versions, so its actions are read instead.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from device_agent.cli import sample
from device_agent.cli.commands.init import board
from device_agent.cli.keytable import Key, keys, tables
from device_agent.cli.parser import DEFAULT_CONFIG, all_commands, make_parser
from device_agent.configfile import environment

_MADE: Final = "<!-- Made by `make reference` from the code: change that, not this page. -->\n"
_QUEUES: Final = "https://sqs.eu-central-1.amazonaws.com/123456789012"


def pages() -> dict[str, str]:
    """Return the text of each generated file by its path from the repository's root."""
    return {
        "docs/reference/config.md": config_page(),
        "docs/reference/commands.md": commands_page(),
        "packaging/agent.toml": sample_file(),
    }


def sample_file() -> str:
    """Return the annotated sample config."""
    return sample.render(
        board(
            device="board-7", aws={"region": "eu-central-1"}, spool="/var/lib/device-agent",
            telemetry=f"{_QUEUES}/telemetry", events=f"{_QUEUES}/events.fifo",
        )
    )  # fmt: skip


# Configuration


def config_page() -> str:
    """Return the reference page of the configuration."""
    parts = [_MADE, "# Configuration\n", _INTRODUCTION]
    parts += _tables()
    return "\n".join(parts)


_INTRODUCTION: Final = f"""\
The agent reads one TOML file, `{DEFAULT_CONFIG}` unless `--config` names another. `device-agent init` writes one for a board;
[packaging/agent.toml](../../packaging/agent.toml) is an annotated sample. `device-agent check` shows what was understood.

- Unknown keys are mistakes. All mistakes are reported at once, each with its line: `agent.toml:12: input.hwm: unknown key; did you mean
  high_water_mark?`; the exit code is 2 and nothing was changed.
- Sizes are written `"64 KiB"` (B, KiB, MiB, GiB, TiB, PiB; kB, MB, GB, TB are powers of 1,000), durations `"500ms"` (us, ms, s, min, h, d),
  rates `"200 KiB/s"`. A bare number is refused, except 0.
- Environment variables override single keys: `{environment.PREFIX}<TABLE>_<KEY>` in upper case, every character that is not a letter or a
  digit written as `_`. Inputs and streams are addressed by name: `{environment.variable_name("stream", "telemetry", "queue")}`. A list is
  written with commas, or as TOML in brackets. Routes have no variables. A variable that fits no key is a mistake, too.
"""


def _tables() -> Iterator[str]:
    for table in tables():
        yield f"## `{table.header}`\n\n{sample.summary(table.type)}\n"
        yield "| key | value | default | meaning | variable |\n|---|---|---|---|---|"
        yield from map(_row, keys(table))
        yield ""


def _row(key: Key) -> str:
    kind = key.kind or ", ".join(f"`{choice}`" for choice in key.choices)
    default = f"`{key.default}`" if key.default else "required"
    variable = key.variable and f"`{key.variable}`"
    cells = (f"`{key.item.name}`", kind, default, key.says, variable)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


# Commands


_CODES: Final = """\
Exit codes: 0 good, 1 failed at run time, 2 wrong usage or configuration (and nothing was changed). Results go to standard output, messages
to standard error. Every command has `--help`.
"""


def commands_page() -> str:
    """Return the reference page of the command line."""
    top = make_parser()
    parts = [_MADE, "# Commands\n", f"{top.description}\n", _CODES]
    parts.append("| command | what it does |\n|---|---|")
    parts += [f"| [`{name}`](#device-agent-{name}) | {command.HELP} |" for name, command in all_commands()]
    parts.append("")
    for name, parser in _choices(top):
        parts += _command(f"device-agent {name}", parser)
    return "\n".join(parts)


def _choices(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _command(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    example = re.sub(r"^ {2}", "", (parser.epilog or "").partition("\n")[2], flags=re.MULTILINE)
    yield f"## {name}\n\n{_code_marks(parser.description or '')}\n"
    if example:
        yield f"```sh\n{example.strip()}\n```\n"
    rows = [_argument(action) for action in parser._actions if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)]
    if rows:
        yield "| argument | meaning |\n|---|---|"
        yield from rows
        yield ""
    for sub, inner in _choices(parser):
        yield from _command(f"{name} {sub}", inner)


def _code_marks(text: str) -> str:
    """Put options into code marks, so that Markdown does not join their dashes."""
    parts = text.split("`")  # every other part is in code marks already
    return "`".join(part if at % 2 else re.sub(r"(?<![\w-])(--[a-z-]+)", r"`\1`", part) for at, part in enumerate(parts))


def _argument(action: argparse.Action) -> str:
    value = f" {action.metavar or action.dest.upper()}" if action.nargs != 0 else ""
    name = (
        f"{', '.join(action.option_strings)}{value}"
        if action.option_strings
        else ", ".join(action.choices or (str(action.metavar or action.dest),))
    )
    return f"| `{name}` | {_code_marks(action.help or '')}{' (required)' if action.required and action.option_strings else ''} |"


def main() -> int:
    """Write the pages, or with `--check` only look."""
    parser = argparse.ArgumentParser(prog="python -m device_agent.cli.reference", description="Write the generated reference pages.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is stale")
    check = parser.parse_args().check
    stale = []
    for name, text in pages().items():
        path = Path(__file__).parents[2] / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'stale; run `make reference`' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
