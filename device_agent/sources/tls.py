"""TLS of sources: contexts from the files of a configuration. What cannot be used is a reason to try again later."""

from __future__ import annotations

import ssl

from device_agent.config.sources import BrokerConfig, HttpConfig, NngConfig
from device_agent.errors import NotNow
from device_agent.sources import secret


def client(settings: BrokerConfig | NngConfig) -> ssl.SSLContext:
    """Return what a broker or server is trusted by, and its client known by. Raises `NotNow`."""
    if settings.private_key:
        secret.check(settings.private_key, what="private_key")
    try:
        context = ssl.create_default_context(cafile=settings.ca or None)
        if settings.certificate:
            context.load_cert_chain(settings.certificate, settings.private_key)
    except (OSError, ssl.SSLError) as error:
        raise NotNow(f"ca, certificate or private_key cannot be used: {error.strerror or error}") from None
    return context


def server(settings: HttpConfig) -> ssl.SSLContext | None:
    """Return what a server shows, and asks of its clients; None: it speaks no TLS. Raises `NotNow`."""
    if not settings.certificate:
        return None
    secret.check(settings.private_key, what="private_key")
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=settings.client_ca or None)
        context.load_cert_chain(settings.certificate, settings.private_key)
    except (OSError, ssl.SSLError) as error:
        raise NotNow(f"certificate, private_key or client_ca cannot be used: {error.strerror or error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def distrust(error: ssl.SSLError, url: str) -> NotNow:
    """Return what to say of a broker that cannot be trusted."""
    said = getattr(error, "verify_message", None) or error.reason or str(error)
    return NotNow(f"{url} cannot be trusted: {said}; check ca, and this board's clock")
