"""Composition root of the cloud half: `cdk synth`, `deploy`, `diff` and `destroy` start here."""

from __future__ import annotations

import sys
from pathlib import Path

from aws_cdk import App

from infra.bundle import BundleError, prepare
from infra.identity import IdentityStack
from infra.ingestion import IngestionStack
from infra.review import add_checks
from infra.settings import Settings, SettingsError

app = App()
try:
    settings = Settings.from_context(app.node)
    code = prepare(root=Path(__file__).resolve().parent, target=settings.bundle_target)
except (SettingsError, BundleError) as error:
    sys.exit(str(error))
ingestion = IngestionStack(app, f"{settings.name}-ingestion", settings=settings, code=code)
IdentityStack(app, f"{settings.name}-identity", settings=settings, device_policy=ingestion.device_policy)
add_checks(app)
app.synth()
