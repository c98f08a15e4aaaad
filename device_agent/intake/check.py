"""Check of inputs without binding anything, for `device-agent check`: what the disk, the keys and this libzmq say."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from ipaddress import ip_address
from pathlib import Path

import zmq

from device_agent.config import CurveConfig, InputConfig, Pattern
from device_agent.errors import ConfigError
from device_agent.intake import curve, ipc, sockets


def check_inputs(inputs: Sequence[InputConfig]) -> list[ConfigError]:
    """Return an error for each mistake, with the key, the input, the endpoint or file, and what to do; an empty list if all is well."""
    found = [
        ConfigError(f"input {config.name}: {reason}", key=("input", config.name, *key))
        for config in inputs
        for key, reason in _mistakes(config)
    ]
    return [*found, *_duplicates(inputs)]


def check_free(inputs: Sequence[InputConfig], *, held: AbstractSet[str] = frozenset()) -> None:
    """Try, without accepting a connection, whether tcp addresses and ipc paths can be bound; for the time before anything is written.

    Of tcp only addresses that are numbers, or `*`: what a name stands for is seen when libzmq binds it.

    Args:
        inputs: whose endpoints.
        held: addresses (see `address_of`) that this very process has bound: they are not tried.

    Raises:
        ConfigError: one cannot.
    """
    for config in inputs:
        for endpoint in config.bind:
            if address_of(endpoint) not in held and (reason := _obstacle(endpoint)):
                raise ConfigError(f"input {config.name}: cannot bind {endpoint}: {reason}", key=("input", config.name, "bind"))


def address_of(endpoint: str) -> str:
    """Return what only one program can have: the port of a tcp endpoint, the real path of an ipc one; empty for others."""
    path = ipc.path_of(endpoint)
    if path is not None:
        return os.path.realpath(path)
    return endpoint.rpartition(":")[2] if endpoint.startswith("tcp://") else ""


def _obstacle(endpoint: str) -> str:
    path = ipc.path_of(endpoint)
    if path is not None:
        return ipc.taken(path)
    try:
        _try_bind(endpoint)
    except OSError as error:
        return sockets.advice(endpoint, zmq.ZMQError(error.errno))
    return ""


def await_free(endpoints: Sequence[str], seconds: float) -> None:
    """Wait until endpoints that were just closed can be bound again: libzmq closes them a few milliseconds later, in a thread of its own.

    After `seconds` it is given up without an error: whoever binds them next gets one.
    """
    end = time.monotonic() + seconds
    while any(map(_in_use, endpoints)) and time.monotonic() < end:
        time.sleep(0.002)


def _in_use(endpoint: str) -> bool:
    path = ipc.path_of(endpoint)
    try:
        if path is not None:
            return ipc.answers(path)
        _try_bind(endpoint)
    except OSError:
        return True
    return False


def _try_bind(endpoint: str) -> None:
    """Bind the address of a tcp endpoint and give it back at once. Nobody can connect: it does not listen. Raises OSError."""
    transport, _, address = endpoint.partition("://")
    host, _, port = address.rpartition(":")
    host = "0.0.0.0" if host == "*" else host.strip("[]")  # noqa: S104  # what the configuration says
    if transport != "tcp" or not port.isdigit():
        return
    try:
        family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        return  # a name, or an interface
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((host, int(port)))


def _mistakes(config: InputConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield (key within the input, reason)."""
    if not config.bind and not config.connect:
        yield (), "has neither `bind` nor `connect`; give it an endpoint, such as tcp://127.0.0.1:5555"
    for key, endpoints in (("bind", config.bind), ("connect", config.connect)):
        for endpoint in endpoints:
            yield from (((key,), f"{endpoint}: {reason}") for reason in _endpoint_mistakes(config, endpoint))
    if config.curve is not None:
        yield from ((("curve", *key), reason) for key, reason in _key_mistakes(config.curve))


def _endpoint_mistakes(config: InputConfig, endpoint: str) -> Iterator[str]:
    transport, separator, address = endpoint.partition("://")
    if not separator or not address:
        yield "is no endpoint; write tcp://127.0.0.1:5555 or ipc:///run/device-agent/sensors"
        return
    if reason := sockets.unsupported(endpoint):
        yield reason
    if transport in {"epgm", "pgm", "norm"} and config.pattern is not Pattern.SUB:
        yield f"multicast is for `sub` inputs only, not for `{config.pattern.value}`"
    if config.curve is not None and transport not in {"tcp", "ipc"}:
        yield f"libzmq ignores CURVE on {transport}; use tcp or ipc, or remove `curve`"
    path = ipc.path_of(endpoint) if endpoint in config.bind else None
    if path is not None and (reason := ipc.mistake(path)):
        yield reason


def _key_mistakes(config: CurveConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    if not zmq.has("curve"):
        yield (), "this libzmq was built without CURVE"
        return
    looks: tuple[tuple[str, Callable[[], object]], ...] = (
        ("secret_key", lambda: curve.secret_key(Path(config.secret_key)) if config.secret_key or not config.server_key else None),
        ("allow", lambda: curve.allowed_keys(config.allow)),
        ("server_key", lambda: curve.server_key(config.server_key) if config.server_key else None),
    )
    for key, look in looks:
        try:
            look()
        except ConfigError as error:
            yield (key,), str(error)


def _duplicates(inputs: Sequence[InputConfig]) -> Iterator[ConfigError]:
    taken: dict[str, str] = {}
    for config in inputs:
        for endpoint in config.bind:
            path = ipc.path_of(endpoint)
            name = endpoint if path is None else os.path.realpath(path)
            if name in taken and not endpoint.endswith(":*"):
                yield ConfigError(
                    f"input {config.name}: {endpoint} is bound by input {taken[name]} already; one of them needs another endpoint",
                    key=("input", config.name, "bind"),
                )
            taken.setdefault(name, config.name)
    names = [config.name for config in inputs]
    yield from (
        ConfigError(f"input {name}: the name is used twice; names are how status and logs tell inputs apart", key=("input", name, "name"))
        for name in sorted({n for n in names if names.count(n) > 1})
    )
