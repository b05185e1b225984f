"""Whoever is logged in to Google Cloud on this machine."""

from __future__ import annotations

import importlib

from ops.errors import PlatformDenied, PlatformUnreachable, ServiceError
from ops.secrets import Secret

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def default_credentials() -> Secret:
    """A token of whoever is logged in on this machine, by google-auth."""
    try:
        auth = importlib.import_module("google.auth")
        errors = importlib.import_module("google.auth.exceptions")
        transport = importlib.import_module("google.auth.transport.requests")
    except ImportError:
        raise ServiceError(
            "Google's application default credentials need the package google-auth",
            "Type: pip install google-auth, or write token=… in the inventory",
        ) from None
    try:
        credentials, _ = auth.default(scopes=[_SCOPE])
        credentials.refresh(transport.Request())
    except errors.DefaultCredentialsError:
        raise PlatformDenied(
            "Google's application default credentials were not found",
            "Type: gcloud auth application-default login, or write token=… in the inventory",
        ) from None
    except errors.TransportError:
        raise PlatformUnreachable("Google did not answer when asked for a token", "Look at the network") from None
    except errors.GoogleAuthError:
        raise PlatformDenied(
            "Google's application default credentials were refused", "Type: gcloud auth application-default login"
        ) from None
    return Secret("of Google's application default credentials", lambda: str(credentials.token))
