"""CURVE key pairs for `device-agent keys`: two files, the secret one for its owner alone.

pyzmq's own `create_certificates` writes the secret with the default umask, so that others can read it until somebody notices.
"""

from __future__ import annotations

from pathlib import Path

import zmq

from device_agent.errors import ConfigError
from device_agent.intake import curve

_PUBLIC = """# ZeroMQ CURVE public key `{name}`, made by device-agent keys. May be given to anybody.
metadata
curve
    public-key = "{public}"
"""
_PRIVATE = """# ZeroMQ CURVE SECRET key `{name}`, made by device-agent keys. For the eyes of its owner only.
metadata
curve
    public-key = "{public}"
    secret-key = "{secret}"
"""


def make_keys(directory: Path, name: str) -> tuple[Path, Path]:
    """Make a key pair and return the paths (`<name>.key`, `<name>.key_secret`): public 0644, secret 0600.

    Raises:
        ConfigError: no CURVE in this libzmq, the name is none for a file, or a file exists already.
    """
    if not zmq.has("curve"):
        raise ConfigError("this libzmq was built without CURVE; install one with libsodium (Debian's and PyPI's have it)")
    if not name or "/" in name or name.startswith(".") or not name.isprintable():
        raise ConfigError(f"{name!r} is no name for a key: use letters, digits, '-' and '_'")
    public, secret = (key.decode() for key in zmq.curve_keypair())
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot create {directory}: {error.strerror}") from error
    files = directory / f"{name}.key", directory / f"{name}.key_secret"
    if files[0].exists():
        raise ConfigError(f"{files[0]} exists; keys are never overwritten: move it away or choose another name")
    curve.write_private(files[1], _PRIVATE.format(name=name, public=public, secret=secret))
    curve.write_public(files[0], _PUBLIC.format(name=name, public=public))
    return files
