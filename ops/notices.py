"""Telling people: Slack, e-mail, a webhook, and whatever else apprise reaches by a URL."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from ops.errors import OpsError
from ops.secrets import Secret

PATIENCE = 20.0
"""Seconds for which all of them together are waited for."""


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
    problems: list[str] = []
    sending = threading.Thread(target=_send, args=(whom, title, body, bad, problems), name="notices", daemon=True)
    sending.start()
    sending.join(PATIENCE)
    if sending.is_alive():
        problems.append(f"somebody did not answer within {PATIENCE:g} s")
    return list(problems)


def _send(whom: Sequence[Secret], title: str, body: str, bad: bool, problems: list[str]) -> None:
    from apprise import Apprise, NotifyType

    # It logs the addresses that it sends to, which are secrets.
    logging.getLogger("apprise").disabled = True
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
