"""Outputs: what `cdk deploy --outputs-file FILE` wrote, `{"<stack>": {"<output>": "<value>"}}`."""

from __future__ import annotations

import json
from pathlib import Path

from device_agent.configfile import textfile
from device_agent.errors import ConfigError


def read_outputs(path: Path, *, needed: set[str]) -> dict[str, str]:
    """Return the outputs of the stack that has all of `needed`.

    Raises:
        ConfigError: the file cannot be read, or no stack has them.
    """
    try:
        stacks = json.loads(textfile.decode(path.read_bytes(), str(path)))
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: cannot be read as outputs of `cdk deploy --outputs-file`: {why}") from None
    if isinstance(stacks, dict):
        for outputs in stacks.values():
            if isinstance(outputs, dict) and needed <= set(outputs):
                return {name: str(value) for name, value in outputs.items()}
    raise ConfigError(f"{path}: no stack in it has the outputs {' and '.join(sorted(needed))}; was `cdk deploy --outputs-file` complete?")
