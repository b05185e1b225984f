"""Telling people: Slack, e-mail, a webhook, and whatever else apprise reaches by a URL."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ops.errors import OpsError
from ops.secrets import Secret


def tell(whom: Sequence[Secret], title: str, body: str, bad: bool) -> list[str]:
    """Send a notice to everybody; a failure of one keeps it from nobody else.

    Args:
        whom: URLs (https://appriseit.com/services), each a secret.
        title: one line.
        body: plain text.
        bad: whether it tells of a failure.

    Returns:
        Of each who could not be told, why, in words.
    """
    if not whom:
        return []
    from apprise import Apprise, NotifyType

    # It logs the addresses that it sends to, which are secrets.
    logging.getLogger("apprise").disabled = True
    problems = []
    for one in whom:
        people = Apprise()
        try:
            known = people.add(one.reveal())
        except OpsError as error:
            problems.append(str(error))
            continue
        if not known:
            problems.append(f"{one!r} is no URL that apprise knows")
        elif not people.notify(body=body, title=title, notify_type=NotifyType.FAILURE if bad else NotifyType.SUCCESS):
            problems.append(f"{one!r} did not take the notice")
    return problems
