"""`device-agent explain`: each key of the configuration for people at a terminal."""

from __future__ import annotations

import pytest

from device_agent import configfile
from device_agent.cli import main
from device_agent.cli.keytable import Key, keys, tables
from device_agent.errors import ConfigError

KEYS = [key for table in tables() for key in keys(table)]


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["explain", *words]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80 or "DEVICE_AGENT_" in text or "example" in text
    return text


def test_a_key_says_what_it_means_takes_and_defaults_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "stream.linger") == (
        "stream.linger, in [[stream]]\n"
        "  How long an envelope may wait for more readings.\n"
        "\n"
        "  value     duration, 0s to 1h\n"
        '  default   "5s"\n'
        "  variable  DEVICE_AGENT_STREAM_<NAME>_LINGER\n"
        '  example   linger = "5s"\n'
    )


def test_a_key_of_several_tables_is_explained_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "topic")
    assert "input.topic, in [[input]]" in text
    assert "input.route.topic, in [[input.route]]" in text


def test_a_key_without_a_default_and_one_with_choices(capsys: pytest.CaptureFixture[str]) -> None:
    assert "default   none: it must be set" in shown(capsys, "device.id")
    assert "value     block, drop-oldest, drop-newest" in shown(capsys, "when_full")


@pytest.mark.parametrize("asked", ["input.curve", "[input.curve]", "[[stream]]", "spool"])
def test_a_table_lists_its_keys(capsys: pytest.CaptureFixture[str], asked: str) -> None:
    text = shown(capsys, asked)
    (table,) = (one for one in tables() if ".".join(one.path) == asked.strip("[]"))
    assert text.startswith(table.header)
    assert all(f"\n  {key.item.name} " in text for key in keys(table))


def test_without_a_key_everything_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys)
    assert all(key.item.name in text for key in KEYS)


@pytest.mark.parametrize(
    ("asked", "near"), [("lingr", "did you mean linger?"), ("stream.lingr", "did you mean stream.linger?"), ("zzz", "lists all")]
)
def test_an_unknown_key_is_wrong_usage_with_the_nearest_one(capsys: pytest.CaptureFixture[str], asked: str, near: str) -> None:
    assert main(["explain", asked]) == 2
    said = capsys.readouterr()
    assert near in said.err
    assert not said.out


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_example_can_stand_in_a_file(key: Key) -> None:
    assert key.example
    assert key.kind or key.choices
    line = f"{key.item.name} = {key.example}"
    outer = f"[[{key.table.path[0]}]]\n" if key.table.path[0] in {"input", "stream"} and len(key.table.path) > 1 else ""
    with pytest.raises(ConfigError) as told:  # all other keys are missing
        configfile.loads(f"{outer}{key.table.opening}\n{line}\n", "file", environ={})
    assert "missing" in str(told.value)
    assert not [mistake for mistake in str(told.value).splitlines() if f": {key.name}: " in mistake]
