"""The schema's fingerprint: a short hash of each object's definition, as the server itself spells it.

Casts and parentheses in expressions do not count: PostgreSQL itself spells ``varchar IN (…)`` with other ones after a
dump and restore than before. Left out, because a restore elsewhere may rightly differ: owners, privileges, comments,
tablespaces, extension versions, publications and subscriptions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping

import psycopg

from ops.worker.manifest import Sequence

# Objects of the database's owner: not the system's, and not an extension's, which CREATE EXTENSION brings back.
_OURS = """
    n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend e
                     WHERE e.classid = {catalog}::regclass AND e.objid = {oid} AND e.deptype = 'e')
"""


def _ours(oid: str, catalog: str) -> str:
    return _OURS.format(oid=oid, catalog=f"'{catalog}'")


_QUERIES = {
    "extension": """
        SELECT e.extname, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace""",
    "schema": """
        SELECT quote_ident(n.nspname), '' FROM pg_namespace n WHERE """ + _ours("n.oid", "pg_namespace"),
    "table": """
        SELECT format('%I.%I', n.nspname, c.relname), concat_ws(E'\\n', c.relkind, c.relpersistence, c.relrowsecurity,
               c.relforcerowsecurity, c.relreplident, c.reloptions, pg_get_expr(c.relpartbound, c.oid),
               CASE c.relkind WHEN 'p' THEN pg_get_partkeydef(c.oid) END, c.reloftype::regtype,
               (SELECT string_agg(i.inhparent::regclass::text, ',' ORDER BY i.inhseqno)
                  FROM pg_inherits i WHERE i.inhrelid = c.oid))
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND """ + _ours("c.oid", "pg_class"),
    "column": """
        SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname), concat_ws(E'\\n',
               row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), format_type(a.atttypid, a.atttypmod),
               a.attnotnull, a.attidentity, a.attgenerated, a.attcollation::regcollation,
               pg_get_expr(d.adbin, d.adrelid))
          FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
         WHERE c.relkind IN ('r', 'p', 'f', 'c') AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped
           AND """ + _ours("c.oid", "pg_class"),
    "view": """
        SELECT format('%I.%I', n.nspname, c.relname), concat_ws(E'\\n', c.relkind, c.reloptions, pg_get_viewdef(c.oid))
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('v', 'm') AND """ + _ours("c.oid", "pg_class"),
    # pg_dump leaves out invalid indexes.
    "index": """
        SELECT format('%I.%I', n.nspname, c.relname), concat_ws(E'\\n', pg_get_indexdef(c.oid), i.indisunique,
               i.indisclustered, i.indisreplident)
          FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE i.indisvalid AND c.relpersistence <> 't' AND """ + _ours("c.oid", "pg_class"),
    # Those that a partition has from its parent get their names anew.
    "constraint": """
        SELECT format('%s %I', coalesce(nullif(k.conrelid, 0)::regclass::text, k.contypid::regtype::text), k.conname),
               concat_ws(E'\\n', pg_get_constraintdef(k.oid), k.convalidated)
          FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
         WHERE k.conparentid = 0 AND (k.conislocal OR k.contypid <> 0) AND k.contype <> 't'
           AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = k.conrelid AND e.deptype = 'e')
           AND """ + _ours("k.oid", "pg_constraint"),
    "sequence": """
        SELECT format('%I.%I', n.nspname, c.relname), concat_ws(E'\\n', s.seqtypid::regtype, s.seqstart, s.seqincrement,
               s.seqmax, s.seqmin, s.seqcache, s.seqcycle)
          FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relpersistence <> 't' AND """ + _ours("c.oid", "pg_class"),
    "function": """
        SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
               CASE p.prokind WHEN 'a' THEN (SELECT concat_ws(E'\\n', g.aggtransfn, g.aggfinalfn,
                                                    g.aggtranstype::regtype, g.agginitval)
                                               FROM pg_aggregate g WHERE g.aggfnoid = p.oid)
                              ELSE pg_get_functiondef(p.oid) END
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE """ + _ours("p.oid", "pg_proc"),
    "trigger": """
        SELECT format('%s %I', t.tgrelid::regclass, t.tgname), concat_ws(E'\\n', pg_get_triggerdef(t.oid), t.tgenabled)
          FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND """ + _ours("t.tgrelid", "pg_class"),
    "event trigger": """
        SELECT evtname, concat_ws(E'\\n', evtevent, evtfoid::regproc, evtenabled, evttags) FROM pg_event_trigger v
         WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = v.oid AND e.deptype = 'e')""",
    "type": """
        SELECT format('%I.%I', n.nspname, t.typname), concat_ws(E'\\n', t.typtype,
               CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END, t.typnotnull, t.typdefault,
               (SELECT string_agg(quote_literal(l.enumlabel), ',' ORDER BY l.enumsortorder)
                  FROM pg_enum l WHERE l.enumtypid = t.oid),
               (SELECT r.rngsubtype::regtype::text FROM pg_range r WHERE r.rngtypid = t.oid))
          FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
         WHERE t.typtype IN ('e', 'd', 'r') AND """ + _ours("t.oid", "pg_type"),
    "policy": """
        SELECT format('%s %I', p.polrelid::regclass, p.polname), concat_ws(E'\\n', p.polcmd, p.polpermissive,
               pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
          FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE """ + _ours("p.polrelid", "pg_class"),
    "rule": """
        SELECT format('%s %I', r.ev_class::regclass, r.rulename), pg_get_ruledef(r.oid)
          FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE r.rulename <> '_RETURN' AND """ + _ours("r.ev_class", "pg_class"),
    "statistics": """
        SELECT format('%I.%I', n.nspname, s.stxname), pg_get_statisticsobjdef(s.oid)
          FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
         WHERE """ + _ours("s.oid", "pg_statistic_ext"),
}  # fmt: skip


# What a session, a role or a database may have set, and what definitions are spelled by.
_SETTINGS = {
    "search_path": "",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "quote_all_identifiers": "off",
}
_LITERAL = re.compile(r"('(?:[^']|'')*')")
_CAST = re.compile(
    r"::(?:\"[^\"]+\"|[a-z_][\w.]*)(?: varying| precision| with(?:out)? time zone)?(?:\(\d+(?:,\d+)?\))?(?:\[\])*"
)


def fingerprint(connection: psycopg.Connection) -> dict[str, str]:
    """Each object's name, such as ``table shop.orders``, and a hash of its definition."""
    found: dict[str, str] = {}
    for name, text in definitions(connection):
        told = text if name.startswith("function ") else canonical(text)
        found[name] = hashlib.sha256(told.encode()).hexdigest()[:16]
    return found


def definitions(connection: psycopg.Connection) -> Iterator[tuple[str, str]]:
    """Each object's name, such as ``table shop.orders``, and its definition, as the server spells it."""
    for setting, value in _SETTINGS.items():
        connection.execute("SELECT set_config(%s, %s, false)", [setting, value])
    for kind, query in _QUERIES.items():
        for name, definition in connection.execute(query):
            yield f"{kind} {name}", definition or ""


def canonical(definition: str) -> str:
    """A definition without that in which PostgreSQL's own spelling varies; literals stay as they are."""
    parts = _LITERAL.split(definition)
    return "".join(
        part if place % 2 else re.sub(r"[()\s]", "", _CAST.sub("", part)) for place, part in enumerate(parts)
    )


def sequences(connection: psycopg.Connection) -> dict[str, int | None]:
    """Each sequence's last value; None for one that was never used."""
    query = """
        SELECT format('%I.%I', n.nspname, c.relname), pg_sequence_last_value(c.oid)
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND """ + _ours("c.oid", "pg_class")
    return dict(connection.execute(query).fetchall())


def differences(stated: Mapping[str, str], found: Mapping[str, str], where: str = "the manifest") -> list[str]:
    """What is missing, what is too much, what is defined otherwise.

    Args:
        stated: by object, its definition's hash.
        found: the same.
        where: it is stated, in words.
    """
    return [
        *(f"{name} is missing" for name in sorted(stated.keys() - found.keys())),
        *(f"{name} is not in {where}" for name in sorted(found.keys() - stated.keys())),
        *(
            f"{name} is defined otherwise"
            for name in sorted(stated.keys() & found.keys())
            if stated[name] != found[name]
        ),
    ]


def sequence_differences(stated: Mapping[str, Sequence], found: Mapping[str, int | None]) -> list[str]:
    """Sequences that stand where they could not have stood while the dump was taken."""
    return [
        f"sequence {name} stands at {found.get(name)}, the manifest says {value.before}"
        + (f" to {value.after}" if value.after != value.before else "")
        for name, value in sorted(stated.items())
        if not value.admits(found.get(name))
    ]
