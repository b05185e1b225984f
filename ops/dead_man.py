"""Pings for a dead man's switch, as healthchecks.io and those like it have them: who hears none for too long, tells."""

from __future__ import annotations

from functools import partial
from urllib.parse import urlencode, urlsplit, urlunsplit

from ops.errors import OpsError
from ops.patience import within
from ops.secrets import Secret

_PATIENCE = 5
"""Seconds for one try."""
_TRIES = 2


def ping(url: Secret, run: str, word: str = "", said: str = "") -> str | None:
    """Say how it is with a run. A ping that does not get through is no failure.

    Args:
        url: where to.
        run: the run's id, so that start and end are seen as one.
        word: ``start``, ``fail``, or nothing for success.
        said: the last lines.

    Returns:
        Why it did not get through, in words; None: it did.
    """
    (problem,) = within(_PATIENCE * _TRIES, [partial(_ping, url, run, word, said)])
    if problem == "":
        return None
    return f"the ping to {url!r} did not get through: {problem or f'no answer within {_PATIENCE * _TRIES} s'}"


def _ping(url: Secret, run: str, word: str, said: str) -> str:
    """Why it did not get through; empty when it did."""
    import requests

    problem = ""
    try:
        address = _address(url.reveal(), run, word)
        for _ in range(_TRIES):
            try:
                answer = requests.post(address, data=said.encode(), timeout=_PATIENCE)
            except requests.RequestException as error:
                # Its text has the address in it, which is a secret.
                problem = type(error).__name__
                continue
            if answer.ok:
                return ""
            problem = f"status {answer.status_code}"
    except (OpsError, ValueError) as error:
        problem = str(error) if isinstance(error, OpsError) else "it is no URL"
    return problem


def _address(url: str, run: str, word: str) -> str:
    parts = urlsplit(url)
    path = f"{parts.path.rstrip('/')}/{word}" if word else parts.path
    query = "&".join(part for part in (parts.query, urlencode({"rid": run})) if part)
    return urlunsplit(parts._replace(path=path, query=query))
