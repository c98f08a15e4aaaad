"""Rules: what must fit together across keys and tables, once each key is right by itself.

Promises: each rule looks only at keys without a mistake so far, and reports; it raises nothing, and asks neither disk nor network.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from device_agent.config import Config, InputConfig, Pattern, SourceConfig, StreamConfig, Unit, endpoints
from device_agent.configfile import hosts, units
from device_agent.configfile.lines import Path
from device_agent.configfile.report import Report, nearest
from device_agent.wire import names
from device_agent.wire.labels import is_label
from device_agent.wire.limits import MAX_LABEL

#: Keys that mean something for one pattern only.
_ONLY: Final = {"subscribe": Pattern.SUB, "reply": Pattern.REP, "message_id": Pattern.ROUTER, "skip_probes": Pattern.ROUTER}
#: SendMessage reference: alphanumeric characters and punctuation, 128 at most.
_GROUP: Final = re.compile(r"[!-~]{1,128}", re.ASCII)
_QUEUE_PATH: Final = re.compile(r"(/[^/?#]+)*/(?P<account>\d{12}|queue)/(?P<name>[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo)", re.ASCII)
_NO_LOGIN: Final = "must not hold a user name or password; AWS credentials come from the environment, ~/.aws/credentials or aws.iot"


def check(config: Config, document: dict[str, Any], report: Report) -> None:
    """Report everything in `config` that does not fit; `document` tells which keys were written."""
    _device(config, report)
    _spool(config, report)
    _aws(config, report)
    if report.ok(("uplink", "backoff_first"), ("uplink", "backoff_cap")) and config.uplink.backoff_first > config.uplink.backoff_cap:
        report.add(("uplink", "backoff_first"), f"must not be above backoff_cap ({units.show(config.uplink.backoff_cap, Unit.DURATION)})")
    for kind, elements in (("input", config.input), ("stream", config.stream)):
        if not elements and report.ok((kind,)):
            report.add((kind,), f"missing; at least one [[{kind}]] is needed")
        _unique(kind, elements, report)
    for position, stream in enumerate(config.stream):
        _stream(stream, ("stream", position), config, report)
    for position, source in enumerate(config.input):
        written = document["input"][position]
        where: Path = ("input", position)
        if not report.ok(where):
            continue
        _streams_of(source, where, config, report)
        if isinstance(source, InputConfig):
            _input(source, where, written if isinstance(written, dict) else {}, report)
        else:
            _source(source, where, report)
    _bound_twice(config, report)


def _device(config: Config, report: Report) -> None:
    if report.ok(("device",)) and not names.is_device(config.device.id):
        report.add(("device", "id"), f"{config.device.id!r} is not a device id: {names.DEVICE_RULE}")


def _spool(config: Config, report: Report) -> None:
    directory: Path = ("spool", "directory")
    if config.spool.directory.startswith("~"):
        report.add(directory, "'~' is not expanded; write the whole path")


def _aws(config: Config, report: Report) -> None:
    region: Path = ("aws", "region")
    if report.ok(("aws",)) and not re.fullmatch(r"[a-z0-9-]{2,40}", config.aws.region, re.ASCII):
        report.add(region, f"{config.aws.region!r} is not a region, such as eu-central-1")
    url = config.aws.endpoint_url
    parts = _split(url)
    if url and (parts is None or parts.scheme not in {"http", "https"} or not parts.hostname):
        report.add(("aws", "endpoint_url"), f"{url!r} is not a URL, such as http://localhost:4566")
    elif parts is not None and "@" in parts.netloc:
        report.add(("aws", "endpoint_url"), _NO_LOGIN)
    elif parts is not None and (parts.query or parts.fragment):
        report.add(("aws", "endpoint_url"), "must not hold a query or a fragment; write scheme, host and port")
    if config.aws.iot is not None and ("/" in config.aws.iot.endpoint or " " in config.aws.iot.endpoint):
        report.add(("aws", "iot", "endpoint"), "must be a host name, without https:// and without a path")


def _split(url: str) -> SplitResult | None:
    """Split a URL; None if it is none (urlsplit raises ValueError for some hosts and ports)."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _unique(kind: str, elements: tuple[Any, ...], report: Report) -> None:
    seen: dict[str, int] = {}
    for position, element in enumerate(elements):
        path = (kind, position, "name")
        if not report.ok((kind, position), path):
            continue
        if not names.is_stream(element.name):
            report.add(path, f"{element.name!r} is not a name: {names.STREAM_RULE}")
        elif element.name in seen:
            report.add(path, f"{element.name!r} is taken already, {report.place((kind, seen[element.name], 'name'))}")
        else:
            seen[element.name] = position


# Streams


def _stream(stream: StreamConfig, path: Path, config: Config, report: Report) -> None:
    if report.ok(path, (*path, "queue")):
        problem = _queue(stream.queue, config.aws.region if report.ok(("aws",), ("aws", "region")) else "")
        if problem:
            report.add((*path, "queue"), problem)
    if stream.group and report.ok((*path, "group"), (*path, "name"), ("device", "id")):
        problem = _group(stream.group, config.device.id, stream.name)
        if problem:
            report.add((*path, "group"), problem)


def _queue(queue: str, region: str) -> str:
    parts = _split(queue)
    form = "https://sqs.<region>.amazonaws.com/<account>/<name>"
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        url = hosts.url_of(queue)
        return f"is an ARN; write the queue's URL, {url}" if url else f"{queue!r} is not a queue URL, {form}"
    if "@" in parts.netloc:
        return _NO_LOGIN
    if not _QUEUE_PATH.fullmatch(parts.path):
        return f"{queue!r} is not a queue URL: it must end with /<account of 12 digits>/<name of at most 80 letters, digits, '_' and '-'>"
    return _host(parts, region)


def _host(parts: SplitResult, region: str) -> str:
    found = hosts.region_of(parts.hostname or "")
    if found and region and found != region:
        return f"is a queue in {found}, but aws.region is {region}"
    if found and parts.scheme != "https":
        return "AWS takes no unencrypted requests for these queues; write https://"
    return ""


def _group(group: str, device: str, stream: str) -> str:
    try:
        fields = [field for field in string.Formatter().parse(group) if field[1] is not None]
        for _, name, spec, conversion in fields:
            if name not in {"device", "stream"} or spec or conversion:
                return f"knows {{device}} and {{stream}}, not {{{name}{conversion or ''}{spec or ''}}}"
        filled = group.format(device=device, stream=stream)
    except ValueError:
        return "is not a template; write {device} and {stream}, and {{ or }} for a brace"
    if not _GROUP.fullmatch(filled):
        return f"gives {filled!r}; a message group id has 1 to 128 letters, digits and punctuation"
    return ""


# Inputs


def _streams_of(source: InputConfig | SourceConfig, path: Path, config: Config, report: Report) -> None:
    _known_stream(source.stream, (*path, "stream"), config, report)
    seen: set[str] = set()
    for position, route in enumerate(source.route):
        where = (*path, "route", position)
        if not report.ok(where):
            continue
        _label(route.topic, (*where, "topic"), report)
        if route.topic in seen:
            report.add((*where, "topic"), f"{route.topic!r} is routed already in this input")
        seen.add(route.topic)
        _known_stream(route.stream, (*where, "stream"), config, report)


def _source(source: SourceConfig, path: Path, report: Report) -> None:
    for key, text in source.mistakes():
        where = (*path, *(key if isinstance(key, tuple) else (key,)))
        if report.ok(where):
            report.add(where, text)


def _label(label: str, path: Path, report: Report) -> None:
    if not is_label(label):
        report.add(path, f"must be at most {MAX_LABEL} bytes of UTF-8")


def _input(source: InputConfig, path: Path, written: dict[str, Any], report: Report) -> None:
    if not source.bind and not source.connect and report.ok((*path, "bind"), (*path, "connect")):
        report.add(path, 'needs bind or connect, such as bind = ["tcp://127.0.0.1:5555"]')
    if report.ok((*path, "pattern")):
        for key, pattern in _ONLY.items():
            if key in written and source.pattern is not pattern:
                report.add((*path, key), f"is for {pattern.value} inputs only; this one is {source.pattern.value}")
    for key, list_, bind in (("bind", source.bind, True), ("connect", source.connect, False)):
        for position, endpoint in enumerate(list_):
            if report.ok((*path, key)):
                _endpoint(endpoint, (*path, key, position), source, report, bind=bind)
    _curve(source, path, report)
    _label(source.topic, (*path, "topic"), report)
    if source.route and source.topic == "none":
        report.add((*path, "route"), 'needs topics; set topic = "first-frame" in this input')


def _curve(source: InputConfig, path: Path, report: Report) -> None:
    where, curve = (*path, "curve"), source.curve
    if curve is None or not report.ok(where):
        return
    if curve.server_key and curve.allow:
        report.add(
            (*where, "allow"), "is for an input that is the CURVE server; with server_key the program on the other side decides who may"
        )
    if not curve.server_key and not curve.secret_key:
        report.add((*where, "secret_key"), "missing; `device-agent keys` makes one (or give server_key, if the other side is the server)")


def _known_stream(name: str, path: Path, config: Config, report: Report) -> None:
    known = [stream.name for stream in config.stream if stream.name]
    if known and name not in known and report.ok(path):
        report.add(path, f"there is no [[stream]] of the name {name!r}{nearest(name, known) or '; there are: ' + ', '.join(known)}")


def _endpoint(endpoint: str, path: Path, source: InputConfig, report: Report, *, bind: bool) -> None:
    try:
        endpoints.check(endpoint, bind=bind)
    except ValueError as error:
        report.add(path, str(error))
        return
    if endpoints.multicast(endpoint) and source.pattern is not Pattern.SUB and report.ok((*path[:2], "pattern")):
        report.add(path, f"{endpoint!r}: multicast carries PUB and SUB only; this input is {source.pattern.value}")
    if endpoint.startswith("inproc://") and source.curve is not None:
        report.add(path, f"{endpoint!r}: inproc ignores CURVE, so anybody in the process could send; use ipc:// or tcp://")


def _bound_twice(config: Config, report: Report) -> None:
    seen: list[tuple[str, Path]] = []
    for endpoint, path in _bound(config):
        if not report.ok(path):
            continue
        for other, place in seen:
            if endpoints.collide(endpoint, other):
                report.add(path, f"{endpoint!r} cannot be bound beside {other!r}, {report.place(place)}")
                break
        seen.append((endpoint, path))


def _bound(config: Config) -> Iterator[tuple[str, Path]]:
    for at, source in enumerate(config.input):
        if isinstance(source, InputConfig):
            yield from ((endpoint, ("input", at, "bind", position)) for position, endpoint in enumerate(source.bind))
        else:
            for endpoint, key in source.binds:
                yield endpoint, ("input", at, *(key if isinstance(key, tuple) else (key,)))
