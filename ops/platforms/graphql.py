"""GraphQL over a cloud's API, where a refusal is an answer with 200."""

from __future__ import annotations

from typing import Any

from ops.clouds.api import Api
from ops.errors import PlatformDenied, PlatformUnreachable, ServiceError, ServiceMissing
from ops.secrets import Secret

_DENIED = ("not authorized", "unauthorized", "unauthenticated", "forbidden")
_MISSING = ("not found", "not_found", "could not find")


def asked(api: Api, path: str, token: Secret, query: str, **variables: Any) -> dict[str, Any]:
    """Send a query or a mutation; its data.

    Args:
        api: whose.
        path: of GraphQL there.
        token: named when it is refused.
        query: a document with one operation.
        variables: of that operation.

    Raises:
        PlatformDenied: the token is wrong or may not do this.
        ServiceMissing: what it asks for is not there.
        ServiceError: any other refusal.
    """
    hint = f"Look at {token!r} and what it may do"
    try:
        reads = not query.lstrip().startswith("mutation")
        answer = api.ask("POST", path, json={"query": query, "variables": variables}, reads=reads)
    except PlatformDenied as denied:
        raise PlatformDenied(denied.problem, hint) from None
    answer = answer if isinstance(answer, dict) else {}
    errors = answer.get("errors")
    if errors:
        first = errors[0] if isinstance(errors, list) and isinstance(errors[0], dict) else {}
        message = str(first.get("message"))[:300]
        looked_at = f"{message} {(first.get('extensions') or {}).get('code')}".lower()
        if any(word in looked_at for word in _DENIED):
            raise PlatformDenied(f"{api.name} answered: {message}", hint)
        if any(word in looked_at for word in _MISSING):
            raise ServiceMissing(f"{api.name} answered: {message}", "Look at the names in the inventory")
        raise ServiceError(f"{api.name} answered: {message}")
    data = answer.get("data")
    if not isinstance(data, dict):
        raise PlatformUnreachable(f"{api.name} answered without data", "Is that its GraphQL API? Then try again")
    return data
