"""Context values and stages: what is not on the list is refused with the list."""

from __future__ import annotations

import dataclasses

import pytest

from infra.settings import Settings, SettingsError
from infra.stages import STAGES


class Node:
    """A construct node's context, as much of it as Settings reads."""

    def __init__(self, **context: str) -> None:
        self._context = context

    def try_get_context(self, key: str) -> str | None:
        return self._context.get(key)


def read(**context: str) -> Settings:
    return Settings.from_context(Node(**context))  # type: ignore[arg-type]


def test_without_a_context_it_is_a_development_stage_with_free_encryption_on_arm() -> None:
    settings = read()
    assert (settings.stage.name, settings.sse, settings.arch, settings.bundle) == ("dev", "sqs", "arm64", "aws")


@pytest.mark.parametrize(
    ("key", "value", "choice"),
    [
        ("stage", "production", "-c stage=prod"),
        ("sse", "aws", "-c sse=kms"),
        ("arch", "x86-64", "-c arch=x86_64"),
        ("bundle", "docker", "-c bundle=host"),
        ("tracing", "yes", "-c tracing=on"),
    ],
)
def test_an_unknown_value_is_refused_with_the_choices(key: str, value: str, choice: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read(**{key: value})
    assert f"{key}='{value}'" in str(refusal.value)
    assert choice in str(refusal.value)


def test_names_carry_the_stage_so_that_stages_share_an_account() -> None:
    assert {read(stage=stage).sql_name for stage in STAGES} == {"device_agent_dev", "device_agent_prod"}


@pytest.mark.parametrize(
    "change", [{"archive_concurrency": 1}, {"key_reuse_seconds": 59}, {"key_reuse_seconds": 86_401}, {"query_scan_bytes": 1}]
)
def test_a_stage_outside_the_services_limits_cannot_be_written_down(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="stage dev"):
        dataclasses.replace(STAGES["dev"], **change)
