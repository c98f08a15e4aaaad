"""The two synthesised apps of a session; see `synth`."""

from __future__ import annotations

import json

import pytest

from tests.infra.synth import App, Stack, start_synth


@pytest.fixture(scope="session")
def _synthesised(tmp_path_factory: pytest.TempPathFactory) -> dict[str, App]:
    modes = {"dev": "sqs", "prod": "kms"}
    folders = {stage: tmp_path_factory.mktemp(stage) for stage in modes}
    runs = {stage: start_synth(folders[stage], stage=stage, sse=sse) for stage, sse in modes.items()}
    said = {stage: run.communicate(timeout=300)[0] for stage, run in runs.items()}
    for stage, run in runs.items():
        assert run.returncode == 0, said[stage]

    def stack(stage: str, part: str) -> Stack:
        path = folders[stage] / f"device-agent-{stage}-{part}.template.json"
        return Stack(path=path, template=json.loads(path.read_text()))

    return {
        stage: App(
            ingestion=stack(stage, "ingestion"),
            identity=stack(stage, "identity"),
            customer_key=sse == "kms",
            keeps_data=stage == "prod",
        )
        for stage, sse in modes.items()
    }


@pytest.fixture(scope="session", params=["dev", "prod"], ids=["dev-sse-sqs", "prod-sse-kms"])
def app(request: pytest.FixtureRequest, _synthesised: dict[str, App]) -> App:
    """Each of the two in turn."""
    return _synthesised[request.param]


@pytest.fixture(scope="session")
def dev(_synthesised: dict[str, App]) -> App:
    return _synthesised["dev"]


@pytest.fixture(scope="session")
def prod(_synthesised: dict[str, App]) -> App:
    return _synthesised["prod"]
