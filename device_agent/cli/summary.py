"""Summary: what a configuration means, as tables for people."""

from __future__ import annotations

from collections.abc import Iterator

from device_agent.cli import table
from device_agent.config import Config, InputConfig, Unit
from device_agent.configfile import units
from device_agent.spool.budget import Budget, divide


def largest(config: Config, source: InputConfig) -> int:
    """Return the largest reading in bytes that every stream of the input takes."""
    shares = division(config).shares
    return min(source.max_reading, *(shares[name].max_reading for name in (source.stream, *(route.stream for route in source.route))))


def division(config: Config) -> Budget:
    """Return how the spool divides `spool.max_bytes`.

    Raises:
        ConfigError: too little for that many streams.
    """
    return divide(config.spool.max_bytes, config.stream)


def lines(config: Config) -> Iterator[str]:
    """Yield the summary, line by line."""
    endpoint = f" through {config.aws.endpoint_url}" if config.aws.endpoint_url else ""
    yield f"device {config.device.id}, region {config.aws.region}{endpoint}"
    yield (
        f"spool {config.spool.directory}, at most {units.roughly(config.spool.max_bytes)}; when full: {config.spool.when_full.value}; "
        f"commit every {units.show(config.spool.commit_interval, Unit.DURATION)}, at once for rep and router"
    )
    yield ""
    yield from table.lines(("input", "pattern", "endpoints", "topic", "stream", "largest", "encrypted"), list(_inputs(config)))
    yield ""
    yield from table.lines(("stream", "kind", "at most", "segment", "envelope", "linger", "queue"), list(_streams(config)))


def _inputs(config: Config) -> Iterator[tuple[str, ...]]:
    for entry, inlet in zip(config.input, config.inlets, strict=True):
        to = ", ".join([entry.stream, *(f"{route.topic}* -> {route.stream}" for route in entry.route)])
        size = units.roughly(largest(config, inlet))
        if isinstance(entry, InputConfig):
            ways = [*(f"bind {endpoint}" for endpoint in entry.bind), *(f"connect {endpoint}" for endpoint in entry.connect)]
            yield entry.name, entry.pattern.value, ways[0], entry.topic, to, size, "yes" if entry.curve else "no"
            yield from (("", "", way, "", "", "", "") for way in ways[1:])
        else:
            yield entry.name, entry.kind, entry.place, entry.TOPIC, to, size, entry.encrypted


def _streams(config: Config) -> Iterator[tuple[str, ...]]:
    shares = division(config).shares
    for stream in config.stream:
        envelope = units.roughly(stream.max_envelope) if stream.pack else "one reading"
        yield (
            stream.name,
            "FIFO" if stream.fifo else "standard",
            units.roughly(shares[stream.name].limit),
            units.roughly(shares[stream.name].segment),
            envelope,
            units.show(stream.linger, Unit.DURATION),
            stream.queue.rpartition("/")[2],  # last: names that CloudFormation made are long
        )
