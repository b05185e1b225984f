"""Whether the role may do on the real database what it did on the copy, where it owns everything."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg

from ops.engines import Engine

_OWNERS = """
    SELECT n.nspname || '.' || c.relname, pg_get_userbyid(c.relowner), current_user
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname || '.' || c.relname = ANY (%s) AND NOT pg_has_role(c.relowner, 'USAGE')
"""
_WRITERS = """
    SELECT n.nspname || '.' || c.relname, pg_get_userbyid(c.relowner), current_user
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname || '.' || c.relname = ANY (%s) AND NOT has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE')
"""
_SCHEMAS = """
    SELECT nspname, current_user FROM pg_namespace
     WHERE nspname = ANY (%s) AND NOT has_schema_privilege(oid, 'CREATE')
"""
_RECORDED = """
    SELECT current_user, CASE WHEN to_regclass(%(table)s) IS NULL
      THEN has_schema_privilege(coalesce(%(schema)s, current_schema()), 'CREATE')
      ELSE has_table_privilege(to_regclass(%(table)s)::oid, %(privilege)s) END
"""


def unrecordable(connection: psycopg.Connection, engine: Engine, privilege: str) -> str | None:
    """Why the role could not write down what it did; None when it can.

    Args:
        connection: to the real database, as the role that will migrate it.
        engine: its table need not be there yet.
        privilege: on that table, which it needs: ``INSERT`` to apply, ``DELETE`` to undo.
    """
    table = engine.account.as_string(connection)
    schema = engine.table.rpartition(".")[0] or None
    row = connection.execute(_RECORDED, {"table": table, "schema": schema, "privilege": privilege}).fetchone()
    assert row is not None
    role, may = row
    return None if may else f"{role} may not write to {table}, where it is written down what was applied"


def lacking(
    connection: psycopg.Connection, altered: Iterable[str], written: Iterable[str], made: Iterable[str]
) -> list[str]:
    """What the role lacks, in words.

    Args:
        connection: to the real database, as the role that will migrate it.
        altered: tables, as ``schema.table``, that were locked as only their owner can.
        written: tables whose rows were changed.
        made: names of schemas in which something was made.
    """
    owners = connection.execute(_OWNERS, [list(altered)]).fetchall()
    writers = connection.execute(_WRITERS, [list(written)]).fetchall()
    schemas = connection.execute(_SCHEMAS, [list(made)]).fetchall()
    return [
        *(f"{role} may not alter {table} on the real database: {owner} owns it" for table, owner, role in owners),
        *(f"{role} may not write to {table} on the real database: {owner} owns it" for table, owner, role in writers),
        *(f"{role} may not make anything in the schema {schema} on the real database" for schema, role in schemas),
    ]
