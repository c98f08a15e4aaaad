"""Config loader: a TOML file and the environment become one frozen `Config`, or one `ConfigError` with every mistake.

Promises: a `Config` that is returned is valid as far as can be told without disk and network; nothing but `ConfigError` is raised,
whatever the file holds; each mistake is one line, `agent.toml:12: input.hwm: unknown key; did you mean high_water_mark?`.

How: parse (`tomllib`), override (`environment`), build the types from their fields (`build`), check what must fit together (`rules`);
`report` collects, `lines` and `places` say where.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from device_agent.config import Config
from device_agent.configfile import environment, rules, textfile
from device_agent.configfile.build import build
from device_agent.configfile.lines import find_lines
from device_agent.configfile.places import Places
from device_agent.configfile.report import Report
from device_agent.errors import ConfigError

#: No config is longer; whoever points at a device or a log by mistake gets a clear answer.
_MAX_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration, and where its keys stand: for what is found out about them later, by the disk or the network."""

    config: Config
    places: Places


def load(path: Path, *, environ: Mapping[str, str]) -> Config:
    """Read a file.

    Raises:
        ConfigError: it cannot be read, or holds mistakes.
    """
    return read(path, environ=environ).config


def read(path: Path, *, environ: Mapping[str, str]) -> Loaded:
    """Read a file, and remember where its keys stand.

    Raises:
        ConfigError: it cannot be read, or holds mistakes.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; `device-agent init --output {path}` writes one") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a 0 in it
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{path}: is larger than 1 MiB, so it is not a config file")
    return _parse(textfile.decode(data, str(path)), str(path), environ=environ)


def loads(text: str, name: str, *, environ: Mapping[str, str]) -> Config:
    """Read TOML text; `name` stands for it in messages.

    Raises:
        ConfigError: with one line a mistake.
    """
    return _parse(text, name, environ=environ).config


def _parse(text: str, name: str, *, environ: Mapping[str, str]) -> Loaded:
    text = text.replace("\r\n", "\n")  # as the parser does, so that lines agree
    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{name}: is nested too deeply to be a config file") from None
    except ValueError as error:  # tomllib.TOMLDecodeError is one; so are numbers with too many digits
        raise ConfigError(f"{name}{_toml_error(str(error))}") from None
    set_by, mistakes = environment.apply(document, environ)
    places = Places(name, lines=find_lines(text), variables=set_by, document=document)
    report = Report(places)
    for variable, message in mistakes:
        report.environment(variable, message)
    config = build(document, report)
    rules.check(config, document, report)
    report.finish()
    return Loaded(config, places)


def _toml_error(message: str) -> str:
    """Return `:3: not TOML: ...` from `... (at line 3, column 5)`."""
    text, _, place = message.partition(" (at line ")
    line = place.partition(",")[0]
    if line.isdigit():
        return f":{line}: not TOML: {text}"
    return f": not TOML: {message.replace('(at end of document)', 'at the end of the file')}"
