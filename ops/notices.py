"""Telling people: Slack, e-mail, a webhook, and whatever else apprise reaches by a URL."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import partial

from ops.errors import OpsError
from ops.patience import within
from ops.secrets import Secret

IN_A_JOB = "OPS_IN_A_JOB"
"""The variable that tells a deploy that a job runs it: which tells of failures itself, once for several in a row."""
PATIENCE = 20.0
"""Seconds for which they are waited for, all at the same time."""


def tell(whom: Sequence[Secret], title: str, body: str, bad: bool) -> dict[Secret, str]:
    """Send a notice to everybody at once; a failure of one keeps it from nobody else. A job sends none of failures.

    Args:
        whom: URLs (https://appriseit.com/services), each a secret.
        title: one line.
        body: plain text.
        bad: whether it tells of a failure.

    Returns:
        Who could not be told, and why, in words.
    """
    if bad and IN_A_JOB in os.environ:
        return {}
    late = f"did not answer within {PATIENCE:g} s"
    found = within(PATIENCE, [partial(_send, one, title, body, bad) for one in whom])
    problems = {one: f"{one!r} {late}" if said is None else said for one, said in zip(whom, found, strict=True)}
    return {one: problem for one, problem in problems.items() if problem}


def _send(one: Secret, title: str, body: str, bad: bool) -> str:
    """Why one could not be told; empty when he was."""
    from apprise import Apprise, NotifyType

    # It logs the addresses that it sends to, which are secrets.
    logging.getLogger("apprise").disabled = True
    people = Apprise()
    try:
        known = people.add(one.reveal())
    except OpsError as error:
        return str(error)
    if not known:
        return f"{one!r} is no URL that apprise knows"
    kind = NotifyType.FAILURE if bad else NotifyType.SUCCESS
    return "" if people.notify(body=body, title=title, notify_type=kind) else f"{one!r} did not take the notice"
