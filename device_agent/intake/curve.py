"""CURVE keys: files in, text out. Format of the files: ZPL as CZMQ and pyzmq write it (`public-key = "..."`, `secret-key = "..."`).

Promises: a secret key is read only from a file that its owner alone can read; every other case is an error that says what to do, at the
start. libzmq takes a wrong key without a word and then refuses every peer.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final

import zmq
from zmq.utils import z85

from device_agent.configfile import textfile
from device_agent.errors import ConfigError
from device_agent.redact import path as shown
from device_agent.secretfile import exposed

_KEY: Final = 40  # characters: 32 bytes in Z85 (RFC 32)


def _field(path: Path, name: str) -> bytes:
    try:
        lines = textfile.decode(path.read_bytes(), str(path)).encode().splitlines()
    except OSError as error:
        raise ConfigError(f"cannot read key file {shown(str(path))}: {error.strerror}; `device-agent keys` makes one") from error
    for line in lines:
        key, equals, value = line.strip().partition(b"=")
        if equals and key.strip() == name.encode():
            text = value.strip(b" \t\"'")
            if _is_key(text):
                return text
            raise ConfigError(f"{path}: {name} is not a key of {_KEY} characters in Z85; make a new one with `device-agent keys`")
    raise ConfigError(f"{path} has no line `{name} = ...`; `device-agent keys` makes such files")


def _is_key(text: bytes) -> bool:
    try:
        return len(text) == _KEY and len(z85.decode(text)) == 32
    except (KeyError, ValueError, struct.error):
        return False


def secret_key(path: Path) -> tuple[bytes, bytes]:
    """Return (public, secret) in Z85 from an input's secret key file.

    Raises:
        ConfigError: missing, not a key, or readable by others than its owner.
    """
    try:
        fault = exposed(path)
    except OSError as error:
        raise ConfigError(f"cannot read secret key {shown(str(path))}: {error.strerror}; `device-agent keys` makes one") from error
    if fault:
        raise ConfigError(f"secret key {path} {fault}")
    secret = _field(path, "secret-key")
    return zmq.curve_public(secret), secret


def server_key(text: str) -> bytes:
    """Return the public key (Z85) of a program that is the CURVE server: what `text` is, or what is in the file that it names.

    Raises:
        ConfigError: it is neither.
    """
    if _is_key(text.encode()) and not Path(text).exists():
        return text.encode()
    return _field(Path(text), "public-key")


def allowed_keys(entries: tuple[str, ...]) -> frozenset[str]:
    """Return the public keys (Z85) in files, and in the `*.key` and `*.pub` files of directories.

    Raises:
        ConfigError: an entry does not exist, or a file has no public key.
    """
    keys: set[str] = set()
    for entry in map(Path, entries):
        if entry.is_dir():
            files = _keys_in(entry)
        elif entry.exists():
            files = [entry]
        else:
            raise ConfigError(f"allowed keys {shown(str(entry))}: there is no such file or directory")
        keys.update(_field(file, "public-key").decode() for file in files)
    return frozenset(keys)


def _keys_in(directory: Path) -> list[Path]:
    try:
        return sorted(file for file in directory.iterdir() if file.suffix in {".key", ".pub"})
    except OSError as error:
        raise ConfigError(f"allowed keys {directory}: cannot be listed: {error.strerror}; give the agent's user access to it") from error


def write_private(path: Path, text: str) -> None:
    """Create a file that only its owner can read; never overwrite one.

    Raises:
        ConfigError: it exists, or cannot be written.
    """
    _create(path, text, 0o600)


def write_public(path: Path, text: str) -> None:
    """Create a file that everybody can read; never overwrite one."""
    _create(path, text, 0o644)


def _create(path: Path, text: str, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise ConfigError(f"{path} exists; keys are never overwritten: move it away or choose another name") from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, mode)  # whatever the umask
        file.write(text)
        file.flush()
        os.fsync(descriptor)
