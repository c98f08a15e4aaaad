"""The templates pass the two reviewers: cdk-nag, which fails the synth itself, and cfn-lint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cfnlint.api import ManualArgs, lint

from tests.infra.synth import ROOT, App, start_synth

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of cfn-lint's own dependencies

# CDK states each function's dependency on its role, which the reference to the role implies already.
IGNORED = ["W3005"]


def test_cfn_lint_has_nothing_to_say(app: App) -> None:
    for stack in app.stacks:
        settings = ManualArgs(ignore_checks=IGNORED, regions=["eu-central-1", "us-east-1"])
        assert [str(match) for match in lint(stack.path.read_text(), config=settings)] == []


def test_cdk_nag_ran_and_found_nothing_that_is_not_accepted(app: App) -> None:
    report = json.loads((app.ingestion.path.parent / "validation-report.json").read_text())
    assert report["pluginReports"] == []


def test_the_other_stages_modes_and_tracing_pass_as_well(tmp_path: Path) -> None:
    others = {"dev": {"sse": "kms", "tracing": "on"}, "prod": {"sse": "sqs"}}
    runs = {stage: start_synth(tmp_path / stage, stage=stage, **context) for stage, context in others.items()}
    for stage, run in runs.items():
        said, _ = run.communicate(timeout=300)
        assert run.returncode == 0, said
        template = json.loads((tmp_path / stage / f"device-agent-{stage}-ingestion.template.json").read_text())
        settings = ManualArgs(ignore_checks=IGNORED, regions=["eu-central-1"])
        assert [str(match) for match in lint(json.dumps(template), config=settings)] == []
        traced = [
            resource["Properties"].get("TracingConfig")
            for name, resource in template["Resources"].items()
            if resource["Type"] == "AWS::Lambda::Function" and name.startswith(("Archive", "State"))
        ]
        assert traced == [{"Mode": "Active"} if stage == "dev" else None] * 2
        assert ("xray:PutTraceSegments" in json.dumps(template)) is (stage == "dev")


UNREVIEWED = """
import sys
from aws_cdk import App, Stack, aws_sqs
sys.path.insert(0, {root!r})
from infra.review import add_checks
app = App()
aws_sqs.Queue(Stack(app, "Careless"), "Queue")
add_checks(app)
app.synth()
"""


def test_a_finding_that_nobody_accepted_fails_the_synth(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(UNREVIEWED.format(root=str(ROOT)))
    run = start_synth(tmp_path / "out", app=str(app))
    said, _ = run.communicate(timeout=300)
    assert run.returncode != 0, said
    assert "AwsSolutions-SQS4" in said
    assert "Serverless-SQSRedrivePolicy" in said
