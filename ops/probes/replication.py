"""How far standbys are behind."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from ops.checks import Outcome, Result
from ops.checks.base import seconds
from ops.checks.result import unknown, worst
from ops.clock import age
from ops.probes.server import Server, judged

_PATIENCE = 1.0
"""Seconds for which a standby is given the chance to reach what there was at the first look."""
_PAUSE = 0.05

_END = """
    SELECT CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                ELSE pg_current_wal_flush_lsn() END::text
"""
# Who never tells what it has replayed is no standby: a backup, or pg_receivewal. One that is silent is behind by that
# long at least.
_STANDBYS = """
    SELECT replay_lsn >= %(end)s::pg_lsn, concat_ws(' at ', nullif(application_name, ''), host(client_addr)), state,
           extract(epoch FROM replay_lag)::float8, extract(epoch FROM clock_timestamp() - reply_time)::float8,
           pg_wal_lsn_diff(%(end)s::pg_lsn, replay_lsn)::float8 / 1000000
      FROM pg_stat_replication WHERE state IS NULL OR (state <> 'backup' AND replay_lsn IS NOT NULL)
"""
# That of a standby that is gone shows that there should be one; and what waits for it fills up the disk.
_SLOTS = """
    SELECT slot_name::text, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::float8 / 1000000
      FROM pg_replication_slots WHERE NOT active AND NOT temporary ORDER BY 2 DESC
"""
_RECEIVER = "SELECT status, latest_end_lsn::text FROM pg_stat_wal_receiver"
_REPLAYED = """
    SELECT pg_last_wal_replay_lsn() >= %(end)s::pg_lsn, pg_is_wal_replay_paused(),
           extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8
"""


def replication_lag(server: Server) -> Result | None:
    """Of the standbys that are connected, and of this server when it is one; None when there is none."""
    limit = seconds(server.check.replication_lag)
    if limit is None:
        return None
    found = list(_of_others(server, limit))
    found += _its_own(server, limit) if server.standby else _of_nobody(server)
    if not found:
        return None
    same = [one for one in found if one.outcome is worst(found)]
    return Result(
        same[0].outcome, "; ".join(one.value for one in same), f"≤ {server.check.replication_lag}", same[0].hint
    )


def _of_others(server: Server, limit: float) -> Iterable[Result]:
    (end,) = server.reading.row(_END)
    for reached, name, state, lag, silent, behind in _patiently(server, _STANDBYS, end, limit):
        hint = f"Look at the log of {name}, and at its replay: SELECT pg_get_wal_replay_pause_state()"
        longest = max(lag or 0, silent or 0)
        if state is None:
            yield unknown(f"{server.role} does not see its standbys", server.grant)
        elif reached:
            yield judged(True, f"{name}: none", "", "")
        elif longest > limit:
            yield judged(False, f"{name}: {age(longest)}, {behind:,.1f} MB", "", hint)
        elif state != "streaming" or lag is None:
            # The server measures what it sends, and that may be old by then.
            yield unknown(f"{name}: {behind:,.1f} MB, and for how long is not known ({state})", hint)
        else:
            yield judged(True, f"{name}: {age(longest)}", "", "")


def _of_nobody(server: Server) -> Iterable[Result]:
    for name, behind in server.reading.rows(_SLOTS):
        value = f"nobody reads from the replication slot {name}, for which {behind:,.1f} MB are kept"
        yield judged(
            False, value, "", f"Is its standby gone for good? SELECT pg_drop_replication_slot({name!r})", Outcome.WARN
        )


def _its_own(server: Server, limit: float) -> Iterable[Result]:
    receiver = server.reading.rows(_RECEIVER)
    status, end = receiver[0] if receiver else (None, None)
    if receiver and end is None:
        yield unknown(f"{server.role} does not see what this standby receives", server.grant)
        return
    ((reached, paused, old),) = _patiently(server, _REPLAYED, end, limit)
    if reached and status == "streaming":
        yield judged(True, "this standby: none", "", "")
    elif old is None:
        yield unknown("this standby has replayed no transaction since it was started", "Look at its log")
    else:
        how = "its replay is paused" if paused else status or "nothing is received from its primary"
        hint = "To let it go on: SELECT pg_wal_replay_resume()" if paused else "Look at its log"
        yield judged(old <= limit, f"this standby: {age(old)} ({how})", "", hint)


def _patiently(server: Server, query: str, end: str | None, limit: float) -> list[tuple[Any, ...]]:
    """The answer once all have reached the end, which what was written just now takes a moment to: by that it is known
    without any clock that nobody is behind. Else the answer when patience is over.
    """
    deadline = time.monotonic() + min(_PATIENCE, limit)
    while True:
        found = server.reading.rows(query, {"end": end})
        if all(one[0] is not False for one in found) or time.monotonic() > deadline:
            return found
        time.sleep(_PAUSE)
