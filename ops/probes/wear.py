"""What wears out in a database: its indexes, sequences, transaction ids and tables."""

from __future__ import annotations

from ops.checks import Outcome, Result
from ops.checks.result import unknown
from ops.clock import age
from ops.probes.server import Server, judged, listed, percent

# Who builds one concurrently holds that lock on its table until it is done, over several transactions.
_INVALID = """
    SELECT i.indexrelid::regclass::text
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE NOT (i.indisvalid AND i.indisready AND i.indislive) AND c.relpersistence <> 't'
       AND NOT EXISTS (
             SELECT FROM pg_stat_progress_create_index p JOIN pg_locks l ON l.pid = p.pid
              WHERE l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted)
     ORDER BY 1
"""
# A column is filled by a sequence that it owns, or that its default names; it may hold less than that.
_SEQUENCES = """
    WITH filled AS (
      SELECT objid AS sequence, refobjid AS relation, refobjsubid::int AS number FROM pg_depend
       WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i')
         AND refobjsubid > 0
      UNION
      SELECT d.refobjid, a.adrelid, a.adnum FROM pg_depend d JOIN pg_attrdef a ON a.oid = d.objid
       WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
    ), columns AS (
      SELECT f.sequence, f.relation::regclass || '.' || quote_ident(a.attname) AS name,
             CASE coalesce(nullif(t.typbasetype, 0), t.oid)
               WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 END AS most
        FROM filled f JOIN pg_attribute a ON a.attrelid = f.relation AND a.attnum = f.number
        JOIN pg_type t ON t.oid = a.atttypid
    )
    SELECT s.seqrelid::regclass::text, c.name, has_sequence_privilege(s.seqrelid, 'SELECT, USAGE'),
           CASE WHEN has_sequence_privilege(s.seqrelid, 'SELECT, USAGE')
                THEN pg_sequence_last_value(s.seqrelid) END,
           s.seqmin, s.seqmax, s.seqincrement > 0, s.seqcycle, c.most::bigint
      FROM pg_sequence s JOIN pg_class r ON r.oid = s.seqrelid LEFT JOIN columns c ON c.sequence = s.seqrelid
     WHERE r.relpersistence <> 't'
     ORDER BY 1, 2
"""
_AGES = "SELECT datname::text, age(datfrozenxid), mxid_age(datminmxid) FROM pg_database"
_END = 2**31
"""Ids after which PostgreSQL takes no more writes; its own vacuum begins at ``autovacuum_freeze_max_age``, a tenth of
them, so that a share of that would say nothing (documentation: Preventing Transaction ID Wraparound Failures)."""
_DEAD = """
    SELECT relid::regclass::text, n_dead_tup, n_live_tup + n_dead_tup,
           extract(epoch FROM now() - greatest(last_vacuum, last_autovacuum))::float8
      FROM pg_stat_user_tables WHERE n_live_tup + n_dead_tup >= %(small)s
     ORDER BY n_dead_tup::float8 / (n_live_tup + n_dead_tup) DESC
"""
SMALL = 10_000
"""Rows, dead ones among them, below which a table is not looked at."""


def invalid_indexes(server: Server) -> Result | None:
    """Those that a ``CREATE INDEX CONCURRENTLY`` left that failed; not those that are being built now."""
    if not server.check.invalid_indexes:
        return None
    names = [name for (name,) in server.reading.rows(_INVALID)]
    hint = f"In psql: REINDEX INDEX CONCURRENTLY {names[0]}, or DROP INDEX CONCURRENTLY" if names else ""
    return judged(not names, listed(names) or "none", "none", hint)


def sequences(server: Server) -> Result | None:
    """How much is used up of what sequences and the columns that they fill can hold: of the one with least left."""
    limit = server.check.sequences
    if limit is None:
        return None
    used: list[tuple[float, str]] = []
    hidden: set[str] = set()
    for name, column, seen, last, least, most, upwards, cycles, column_holds in server.reading.rows(_SEQUENCES):
        if not seen:
            hidden.add(name)
        if last is None:
            continue
        holds = column_holds if column_holds is not None else max(most, -least - 1)
        end = min(most, holds) if upwards else max(least, -holds - 1)
        if cycles and end in (least, most):
            continue  # it begins anew, and its column can hold all that it gives
        begin = least if upwards else most
        share = (abs(last - begin) + 1) / (abs(end - begin) + 1)
        fills = f" for {column}" if column else ""
        used.append((share, f"{name}{fills} is at {last:,} of {end:,} ({percent(share)})"))
    used.sort(reverse=True)
    over = [words for share, words in used if share > limit]
    if not over and hidden:
        return unknown(
            f"{server.role} may not read {listed(sorted(hidden), 3)}",
            f"Type in psql: GRANT pg_read_all_data TO {server.role}",
        )
    value = listed(over) or (used[0][1] if used else "none is in use")
    hint = "Make the column a bigint, and its sequence as well: ALTER SEQUENCE … AS bigint"
    return judged(not over, value, f"≤ {percent(limit)}", hint)


def transaction_ids(server: Server) -> Result | None:
    """How many of them are gone in that database of the server which has fewest left: all of it stops with that."""
    limit = server.check.transaction_ids
    if limit is None:
        return None
    found = server.reading.rows(_AGES)
    gone, kind, name = max(
        (count, kind, name)
        for name, *counts in found
        for count, kind in zip(counts, ("transactions", "multixacts"), strict=True)
    )
    return judged(
        gone <= limit * _END,
        f"{gone:,} {kind} of {_END:,} in the database {name} ({percent(gone / _END)})",
        f"≤ {percent(limit)}",
        f"In psql, in {name}: VACUUM (FREEZE). Transactions that are open for long, prepared ones and replication "
        "slots hold it back",
    )


def dead_rows(server: Server) -> Result | None:
    """Tables of which too much is dead rows: a warning, for autovacuum may be about to come."""
    limit = server.check.dead_rows
    if limit is None:
        return None
    if server.standby:
        return unknown("a standby does not count them", "Ask its primary, or write dead_rows=None")
    if server.reading.row("SELECT current_setting('track_counts')") != ("on",):
        return unknown("track_counts is off, so nobody counts them", "Switch it on, or write dead_rows=None")
    found = server.reading.rows(_DEAD, {"small": SMALL})
    over = [one for one in found if one[1] > limit * one[2]]
    if not over:
        value = f"{percent(found[0][1] / found[0][2])} of {found[0][0]}" if found else "no table is large enough"
        return judged(True, value, f"≤ {percent(limit)}", "")
    words = [
        f"{percent(dead / rows)} of {rows:,} in {name}, vacuumed {f'{age(ago)} ago' if ago is not None else 'never'}"
        for name, dead, rows, ago in over
    ]
    hint = f"deploys/treat.py --data vacuum={over[0][0]} removes them; a transaction that is open for long keeps them"
    return judged(False, listed(words, 3), f"≤ {percent(limit)}", hint, Outcome.WARN)
