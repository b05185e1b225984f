"""Cloudflare's API: every answer comes in an envelope, which says whether it succeeded."""

from __future__ import annotations

from typing import Any

from ops.clouds.api import Api, ApiError
from ops.secrets import Secret


class Cloudflare:
    """One account.

    Args:
        api: base URL.
        account: its id.
        token: an API token.
    """

    def __init__(self, api: str, account: str, token: Secret) -> None:
        self._api = Api("Cloudflare", f"{api.rstrip('/')}/accounts/{account}", token)

    def ask(self, method: str, path: str, *, json: Any = None, params: dict[str, str] | None = None) -> Any:
        """See ``Api``; what the envelope holds."""
        body = self._api.ask(method, path, json=json, params=params)
        if not isinstance(body, dict) or not body.get("success"):
            raise ApiError(f"Cloudflare did not carry it out: {_reasons(body)}", 200, body)
        return body.get("result")


def codes(error: ApiError) -> set[int]:
    """Cloudflare's own codes of an error."""
    errors = error.body.get("errors") if isinstance(error.body, dict) else None
    return {each["code"] for each in errors or () if isinstance(each, dict) and "code" in each}


def _reasons(body: Any) -> str:
    errors = body.get("errors") if isinstance(body, dict) else None
    return "; ".join(str(each.get("message")) for each in errors or ()) or "it does not say why"
