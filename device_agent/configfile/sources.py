"""Rules of the inputs that are not ZeroMQ: what must fit together within one of them.

Promises: as `rules`.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from device_agent.config import HttpConfig, MqttConfig
from device_agent.configfile.lines import Path
from device_agent.configfile.report import Report

_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)


def check(source: MqttConfig | HttpConfig, path: Path, report: Report) -> None:
    """Report what does not fit in one input."""
    if isinstance(source, MqttConfig):
        _mqtt(source, path, report)
    else:
        _http(source, path, report)
    if bool(source.certificate) is not bool(source.private_key):
        missing, given = ("certificate", "private_key") if source.private_key else ("private_key", "certificate")
        report.add((*path, missing), f"missing; {given} is given, and one is of no use without the other")


# MQTT


def _mqtt(source: MqttConfig, path: Path, report: Report) -> None:
    if report.ok((*path, "url")):
        problem = _broker(source)
        if problem:
            report.add((*path, "url"), problem)
    if not source.topics and report.ok((*path, "topics")):
        report.add((*path, "topics"), 'must not be empty; "#" is everything')
    for position, topic in enumerate(source.topics):
        if not _is_filter(topic):
            report.add((*path, "topics", position), f"{topic!r} is no topic filter: '+' stands alone between slashes, '#' alone at the end")
    if source.password_file and not source.username:
        report.add((*path, "username"), "missing; password_file is given")


def _broker(source: MqttConfig) -> str:
    form = "mqtt://localhost:1883 or mqtts://broker.example:8883"
    try:
        parts = urlsplit(source.url)
        port = parts.port
    except ValueError:
        return f"{source.url!r} is not a broker's URL, {form}"
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or port == 0:
        return f"{source.url!r} is not a broker's URL, {form}"
    if "@" in parts.netloc:
        return "must not hold a user name or password; see username and password_file"
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        return f"must end with the port, {form}"
    if parts.scheme == "mqtt" and (source.ca or source.certificate):
        return "ca and certificate are for mqtts:// only"
    return ""


def _is_filter(topic: str) -> bool:
    """Whether a broker takes a topic filter (MQTT 5.0, 4.7.1 and 4.8.2)."""
    if topic.startswith("$share/"):
        group, _, topic = topic.removeprefix("$share/").partition("/")
        if not group or set(group) & set("+#"):
            return False
    levels = topic.split("/")
    return (
        bool(topic)
        and len(topic.encode()) <= 65535
        and all(level == "+" or "+" not in level for level in levels)
        and "#" not in "".join(levels[:-1])
        and (levels[-1] == "#" or "#" not in levels[-1])
    )


# HTTP


def _http(source: HttpConfig, path: Path, report: Report) -> None:
    if not report.ok((*path, "listen")):
        return
    host, colon, port = source.listen.rpartition(":")
    if not colon or not host or not _PORT.fullmatch(port) or int(port) > 65535:
        report.add((*path, "listen"), f"{source.listen!r} is not an address and a port, 127.0.0.1:8580 or [::1]:8580")
        return
    if source.client_ca and not source.certificate:
        report.add((*path, "certificate"), "missing; client_ca is given, and only TLS has certificates")
    if not is_loopback(host) and not source.token_file and not source.client_ca:
        report.add((*path, "listen"), f"anybody on the network could send to {host}: set token_file or client_ca, or listen on 127.0.0.1")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
