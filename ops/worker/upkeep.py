"""What a database wants by way of upkeep: tables that want vacuum or analyze, indexes that nobody needs."""

from __future__ import annotations

from typing import Any

import psycopg

# To ask a table for its size is to wait for whoever locks it; of those its catalogue entry has to do.
_SIZE = """
    CASE WHEN c.oid IN (SELECT relation FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation IS NOT NULL)
         THEN c.relpages::bigint * current_setting('block_size')::bigint ELSE pg_relation_size(c.oid) END
"""
_OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
# When autovacuum would come: its own arithmetic (PostgreSQL's documentation, 24.1.6).
_WANTING = f"""
    WITH known AS (
      SELECT c.oid::regclass::text AS "table", s.n_dead_tup AS dead, s.n_live_tup AS live,
             s.n_mod_since_analyze AS modified, greatest(c.reltuples, 0) AS tuples, {_SIZE} AS size,
             extract(epoch FROM now() - greatest(s.last_vacuum, s.last_autovacuum))::float8 AS vacuumed,
             extract(epoch FROM now() - greatest(s.last_analyze, s.last_autoanalyze))::float8 AS analyzed,
             coalesce('autovacuum_enabled=false' = ANY (c.reloptions), false)
               OR NOT current_setting('autovacuum')::bool AS "off",
             EXISTS (SELECT FROM pg_stat_progress_vacuum p WHERE p.relid = c.oid) AS "now"
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_stat_all_tables s ON s.relid = c.oid
       WHERE c.relkind IN ('r', 'm') AND {_OURS}
    )
    SELECT *, count(*) OVER () AS wanting FROM known
     WHERE dead > current_setting('autovacuum_vacuum_threshold')::int
                  + current_setting('autovacuum_vacuum_scale_factor')::float8 * tuples
        OR modified > current_setting('autovacuum_analyze_threshold')::int
                      + current_setting('autovacuum_analyze_scale_factor')::float8 * tuples
     ORDER BY size DESC LIMIT 20
"""
_INDEXES = f"""
    SELECT c.oid::regclass::text AS index, t.oid::regclass::text AS "table", {_SIZE} AS size, s.idx_scan AS scans,
           i.indrelid::bigint AS relation, am.amname AS method,
           (string_to_array(i.indkey::text, ' '))[:i.indnkeyatts] AS keys,
           (string_to_array(i.indclass::text, ' '))[:i.indnkeyatts] AS classes,
           (string_to_array(i.indcollation::text, ' '))[:i.indnkeyatts] AS collations,
           (string_to_array(i.indoption::text, ' '))[:i.indnkeyatts] AS options,
           (string_to_array(i.indkey::text, ' '))[i.indnkeyatts + 1:] AS included,
           regexp_replace(concat(i.indexprs::text, '|', i.indpred::text), ':location -?\\d+', '', 'g') AS expressions,
           i.indisunique OR i.indisexclusion AS "unique",
           i.indisreplident OR i.indisclustered
             OR EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid) AS needed
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am am ON am.oid = c.relam
      JOIN pg_stat_all_indexes s ON s.indexrelid = c.oid
     WHERE {_OURS} AND i.indisvalid AND NOT c.relispartition
     ORDER BY size DESC, 1
"""
_SINCE = """
    SELECT extract(epoch FROM now() - stats_reset)::float8 AS seconds FROM pg_stat_database
     WHERE datname = current_database()
"""
UNUSED = 2**20
"""Bytes from which an index that nobody uses is worth a word."""


def wanting(cursor: psycopg.Cursor[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tables to which autovacuum should have come already, the largest first."""
    return cursor.execute(_WANTING).fetchall()


def indexes(cursor: psycopg.Cursor[dict[str, Any]]) -> dict[str, Any]:
    """The indexes that were never read, and those whose work another one does; the largest first.

    Those that hold a constraint, or that a partitioned table has on its partitions, are not looked at.
    """
    known = cursor.execute(_INDEXES).fetchall()
    of_table: dict[int, list[dict[str, Any]]] = {}
    for one in known:
        of_table.setdefault(one["relation"], []).append(one)
    twice = [
        {"index": one["index"], "table": one["table"], "size": one["size"], "other": other["index"], "whole": whole}
        for one in known
        if not (one["needed"] or one["unique"])
        for other, whole in [_instead(one, of_table[one["relation"]])]
        if other is not None
    ]
    redundant = {one["index"] for one in twice}
    unused = [
        {"index": one["index"], "table": one["table"], "size": one["size"]}
        for one in known
        if not (one["scans"] or one["unique"] or one["needed"]) and one["size"] >= UNUSED
    ]
    since = cursor.execute(_SINCE).fetchone()
    return {
        "unused": [one for one in unused if one["index"] not in redundant],
        "duplicate": sorted(twice, key=lambda one: not one["whole"]),
        "since": since and since["seconds"],
    }


def _instead(one: dict[str, Any], others: list[dict[str, Any]]) -> tuple[dict[str, Any] | None, bool]:
    """Another index of its table that does its work: the same columns, which is certain; or more behind those."""
    longer = None
    for other in others:
        if other is one or any(one[part] != other[part] for part in ("method", "expressions")):
            continue
        length = len(one["keys"])
        parts = ("keys", "classes", "collations", "options")
        if any(one[part] != other[part][:length] for part in parts) or "0" in one["keys"] != other["keys"]:
            continue
        if len(other["keys"]) == length and set(one["included"] or ()) <= set(other["included"] or ()):
            # Of two that are alike, the one that holds a constraint stays, or the first by name.
            last = (not other["needed"], not other["unique"], other["index"])
            if last < (True, True, one["index"]) or set(one["included"] or ()) != set(other["included"] or ()):
                return other, True
        elif one["method"] == "btree" and len(other["keys"]) > length and not one["included"]:
            longer = longer or other
    return longer, False
