"""What is written is what is meant: units, defaults, variables; and nothing but a Config or a ConfigError ever comes out."""

# ruff: noqa: E501  # tables

from __future__ import annotations

import tomllib
from copy import deepcopy
from dataclasses import MISSING, fields
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from device_agent import config
from device_agent.cli.keytable import tables
from device_agent.config import Config, Pattern, Unit, WhenFull
from device_agent.config.setting import bounds_of, choices_of, doc_of
from device_agent.configfile import environment, units
from device_agent.configfile.build import hints
from device_agent.configfile.lines import find_lines
from device_agent.wire.limits import KIB, MIB
from tests.config.samples import GOOD, changed, load, mistakes

ITEMS = [item for table in tables() for item in fields(table.type)]


def test_defaults_and_written_values_become_the_types() -> None:
    found = load(
        changed("[spool]\n", '[spool]\nmax_bytes = "1.5 GiB"\nkeep_free = 0\nwhen_full = "drop-newest"\ncommit_interval = "250ms"\n')
    )
    assert (found.spool.max_bytes, found.spool.keep_free, found.spool.when_full) == (1536 * MIB, 0, WhenFull.DROP_NEWEST)
    assert found.spool.commit_interval == 0.25
    assert found.input[1].pattern is Pattern.REP
    assert found.input[0].subscribe == ("",)
    assert found.uplink == config.UplinkConfig()
    assert [stream.fifo for stream in found.stream] == [False, True]


def test_tables_within_inputs_belong_to_the_input_before_them() -> None:
    route = 'topic = "first-frame"\n[[input.route]]\ntopic = "a"\nstream = "events"\n[[input.route]]\ntopic = "b"\nstream = "events"\n'
    found = load(changed('stream = "telemetry"\n', f'stream = "telemetry"\n{route}[input.curve]\nsecret_key = "k"\n'))
    assert [one.topic for one in found.input[0].route] == ["a", "b"]
    assert found.input[0].curve == config.CurveConfig(secret_key="k")
    assert found.input[1].curve is None


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("64 KiB", Unit.SIZE, 65536), ("64KiB", Unit.SIZE, 65536), ("1.5 MiB", Unit.SIZE, 1572864), ("10 MB", Unit.SIZE, 10**7), ("7 B", Unit.SIZE, 7),
        (0, Unit.SIZE, 0), ("0", Unit.SIZE, 0), ("5s", Unit.DURATION, 5), ("500ms", Unit.DURATION, 0.5), ("2min", Unit.DURATION, 120), ("1.5 h", Unit.DURATION, 5400),
        ("1d", Unit.DURATION, 86400), ("200 KiB/s", Unit.RATE, 204800), (0, Unit.RATE, 0), ("1 MB / s", Unit.RATE, 10**6),
    ],
)  # fmt: skip
def test_units(text: object, unit: Unit, value: float) -> None:
    assert units.parse(text, unit) == value


@pytest.mark.parametrize(
    "text", [5, 5.0, True, False, "5", "s", "-5s", "5 parsecs", "5 S", "1e3s", "", "5s5s", "\u0665s", None, [], "9" * 400 + "s"]
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="must be a duration with its unit"):
        units.parse(text, Unit.DURATION)


@given(st.integers(0, 2**50))
def test_sizes_are_shown_as_they_are_read(value: int) -> None:
    assert units.parse(units.show(value, Unit.SIZE), Unit.SIZE) == value
    assert units.parse(units.show(value, Unit.RATE), Unit.RATE) == value


@given(st.integers(0, 10**12))
def test_durations_are_shown_as_they_are_read(micros: int) -> None:
    assert units.parse(units.show(micros / 10**6, Unit.DURATION), Unit.DURATION) == micros / 10**6


def test_every_key_has_a_sentence_and_a_default_within_its_bounds_and_choices() -> None:
    for item in ITEMS:
        bounds, choices = bounds_of(item), choices_of(item)
        assert bounds is None or item.default is MISSING or bounds[0] <= item.default <= bounds[1], item.name
        assert not choices or item.default is MISSING or item.default in choices, item.name
        assert doc_of(item).endswith((".", ")")), item.name


# Variables


@pytest.mark.parametrize(
    ("variable", "text", "read"),
    [
        ("DEVICE_AGENT_DEVICE_ID", "board-8", lambda c: c.device.id == "board-8"),
        ("DEVICE_AGENT_SPOOL_MAX_BYTES", "2 MiB", lambda c: c.spool.max_bytes == 2 * MIB),
        ("DEVICE_AGENT_UPLINK_SENDERS", "7", lambda c: c.uplink.senders == 7),
        ("DEVICE_AGENT_STREAM_TELEMETRY_PACK", "false", lambda c: c.stream[0].pack is False),
        ("DEVICE_AGENT_STREAM_EVENTS_MAX_ENVELOPE", "32 KiB", lambda c: c.stream[1].max_envelope == 32 * KIB),
        ("DEVICE_AGENT_INPUT_SENSORS_BIND", "tcp://127.0.0.1:1,ipc:///x", lambda c: c.input[0].bind == ("tcp://127.0.0.1:1", "ipc:///x")),
        ("DEVICE_AGENT_INPUT_SENSORS_BIND", '["tcp://127.0.0.1:1"]', lambda c: c.input[0].bind == ("tcp://127.0.0.1:1",)),
        ("DEVICE_AGENT_INPUT_SENSORS_CURVE_SECRET_KEY", "/k", lambda c: c.input[0].curve is not None and c.input[0].curve.secret_key == "/k"),
        ("DEVICE_AGENT_AGENT_LOG_LEVEL", "debug", lambda c: c.agent.log_level == "debug"),
    ],
)  # fmt: skip
def test_a_variable_overrides_one_key(variable: str, text: str, read: Any) -> None:
    assert read(load(GOOD, **{variable: text}))


@pytest.mark.parametrize(
    ("variable", "text", "line"),
    [
        ("DEVICE_AGENT_DEVICE_ID", "a b", "environment: DEVICE_AGENT_DEVICE_ID: device.id: 'a b' is not a device id"),
        ("DEVICE_AGENT_SPOOL_MAX_BYTES", "5", "environment: DEVICE_AGENT_SPOOL_MAX_BYTES: spool.max_bytes: must be a size with its unit"),
        ("DEVICE_AGENT_SPOOL_MAXBYTES", "5", "environment: DEVICE_AGENT_SPOOL_MAXBYTES: no key has this variable; did you mean DEVICE_AGENT_SPOOL_MAX_BYTES?"),
        ("DEVICE_AGENT_STREAM_OTHER_QUEUE", "x", "environment: DEVICE_AGENT_STREAM_OTHER_QUEUE: no key has this variable"),
        ("DEVICE_AGENT_STREAM_TELEMETRY_PACK", "no", "environment: DEVICE_AGENT_STREAM_TELEMETRY_PACK: stream.pack: must be true or false"),
        ("DEVICE_AGENT_UPLINK_SENDERS", "many", "environment: DEVICE_AGENT_UPLINK_SENDERS: uplink.senders: must be a whole number"),
        ("DEVICE_AGENT_INPUT_SENSORS_BIND", "[", 'environment: DEVICE_AGENT_INPUT_SENSORS_BIND: is not a list; write one,two or ["one", "two"]'),
        ("DEVICE_AGENT_INPUT_SENSORS_BIND", "[5]", "environment: DEVICE_AGENT_INPUT_SENSORS_BIND: input.bind: must be text in quotes"),
        ("DEVICE_AGENT_AWS_IOT_ENDPOINT", "x", "agent.toml:4: aws.iot.role_alias: missing"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_variable_names_the_variable(variable: str, text: str, line: str) -> None:
    assert any(found.startswith(line) for found in mistakes(GOOD, **{variable: text}))


def test_a_variable_that_fits_two_inputs_is_refused() -> None:
    text = changed('name = "sensors"', 'name = "a-b"').replace('name = "orders"', 'name = "a_b"')
    assert mistakes(text) == []
    assert "fits several keys" in mistakes(text, DEVICE_AGENT_INPUT_A_B_TOPIC="x")[0]


def test_other_variables_are_not_looked_at() -> None:
    assert load(GOOD, HOME="/", DEVICE="x") == load(GOOD)


def test_a_variable_can_stand_for_a_missing_required_key() -> None:
    assert load(changed('id = "board-7"', ""), DEVICE_AGENT_DEVICE_ID="x").device.id == "x"


# Anything


toml_values = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["5s", "64 KiB", "pull", "telemetry", "tcp://127.0.0.1:1", "{device}"])
    | st.dates() | st.times() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of everything in a document."""
    found = [path]
    if isinstance(value, dict):
        for key in value:
            found += paths(value[key], (*path, key))
    elif isinstance(value, list):
        for at, element in enumerate(value):
            found += paths(element, (*path, at))
    return found


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a document with the value at `path` replaced."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]] if isinstance(value, list) else value.get(path[0]), path[1:], new)
    return copy


FULL = tomllib.loads(
    changed(
        'stream = "telemetry"\n',
        'stream = "telemetry"\ntopic = "first-frame"\n[[input.route]]\ntopic = "a"\nstream = "events"\n[input.curve]\nsecret_key = "k"\n',
    )
)
KEYS = sorted({item.name for item in ITEMS} | set(hints(Config)))


@given(st.data())
@settings(max_examples=300)
def test_any_value_anywhere_gives_a_config_or_a_config_error(data: st.DataObject) -> None:
    document: Any = FULL
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(paths(document)))
        new = data.draw(toml_values)
        document = replaced(document, path, new)
        if not isinstance(document, dict):
            return  # a TOML file is a table
        if data.draw(st.booleans()):
            document = {**document, data.draw(st.sampled_from(KEYS) | st.text(max_size=4)): data.draw(toml_values)}
    only_config_errors(document)


def only_config_errors(document: dict[str, Any]) -> None:
    """Load a document that `tomllib` might have parsed; whatever is wrong with it is said in lines with a place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("device_agent.configfile.tomllib.loads", lambda _: deepcopy(document))
        found = mistakes("", DEVICE_AGENT_STREAM_TELEMETRY_LINGER="1s", DEVICE_AGENT_AWS_IOT_CA="x")
    assert all(line.startswith(("agent.toml: ", "environment: ")) for line in found)


@given(
    st.text()
    | st.lists(st.sampled_from([*GOOD.splitlines(), "[[input.route]]", "[input.curve]", "x = [", "]", '"""', "'''", "{", "a.b = 1"])).map(
        "\n".join
    )
)
@example("[" * 100_000)
@example("x = " + "9" * 5000)
@example("x = 9999-99-99")
@example("x = {" * 10_000)
@settings(max_examples=300)
def test_any_text_gives_a_config_or_a_config_error(text: str) -> None:
    assert all(line.startswith("agent.toml:") for line in mistakes(text))


@given(st.dictionaries(st.from_regex(r"DEVICE_AGENT_[A-Z_]{0,12}", fullmatch=True) | st.sampled_from(
    ["DEVICE_AGENT_DEVICE_ID", "DEVICE_AGENT_INPUT_SENSORS_BIND", "DEVICE_AGENT_INPUT_ORDERS_NAME", "DEVICE_AGENT_STREAM_EVENTS_GROUP", "DEVICE_AGENT_UPLINK_MAX_RATE"]
), st.text(max_size=20) | st.sampled_from(["1", "true", "[]", "5s", "{device}"]), max_size=3))  # fmt: skip
def test_any_variable_gives_a_config_or_a_config_error(environ: dict[str, str]) -> None:
    assert all(line.startswith(("agent.toml:", "environment: ")) for line in mistakes(GOOD, **environ))


@given(st.lists(st.sampled_from(["[a]", "[a.b]", "[[t]]", "[[t.u]]", "[t.v]", "k = 1", 'k2 = """\n[x]\n"""', "k3 = [\n[1,\n2], # ]\n]", "k4 = {a = 1, b = ']'}", '"k.5" = 1', "k6.x = 1", "", "# [c]"])))  # fmt: skip
def test_every_key_that_the_parser_sees_has_a_line(pieces: list[str]) -> None:
    text = "\n".join(pieces)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = find_lines(text)
    source = text.split("\n")
    for path in paths(document):
        if path and path in lines:
            name = next(part for part in reversed(path) if isinstance(part, str))
            assert name in source[lines[path] - 1], (path, lines[path])
        elif path:
            assert any(path[:length] in lines for length in range(1, len(path))), path


def test_variables_are_named_after_their_keys() -> None:
    assert environment.variable_name("stream", "a-b", "queue") == "DEVICE_AGENT_STREAM_A_B_QUEUE"
