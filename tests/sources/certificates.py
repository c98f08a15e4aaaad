"""A certificate authority with a server and a client, made anew for a test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def make_certificates(folder: Path) -> None:
    """Write ca, server and client, each as .pem and .key; of 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command (apt install openssl)")

    def openssl(arguments: str) -> None:
        subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)

    key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    openssl(f"req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca")
    for name in ("server", "client"):
        openssl(f"req {key} -keyout {name}.key -out {name}.csr -subj /CN={name} -addext subjectAltName=IP:127.0.0.1")
        openssl(f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -copy_extensions copy -out {name}.pem")
        (folder / f"{name}.key").chmod(0o600)
