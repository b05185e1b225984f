"""What migrations mean for code that was written before them: a release that is gone back to.

Each statement is read by PostgreSQL's own parser, and counts as harmless only when it is known to be; squawk is asked
for a second opinion on those. Not seen is what the SQL does not tell: what triggers do that were there before,
functions of the application under names of PostgreSQL's own, and old code that takes the columns of ``SELECT *`` by
their place.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pgparse

from ops.engines.base import Migration
from ops.errors import printable
from ops.worker.judgement import Judgement, Verdict, breaking, unknown
from ops.worker.lint import objections
from ops.worker.novelty import Novelty
from ops.worker.statements import judge

_WORST: tuple[Verdict, ...] = ("breaking", "unknown")
_BOOKKEEPING = ("CreateStmt", "InsertStmt", "UpdateStmt", "DeleteStmt")


@dataclass(frozen=True)
class Impact:
    """Of one migration.

    Args:
        verdict: for old code; unknown counts as breaking.
        reasons: in words; of a migration that is not harmless only what speaks against it.
    """

    verdict: Verdict
    reasons: tuple[str, ...]


def impacts(
    migrations: Sequence[Migration], table: str, major: int, changed: Collection[str] = ()
) -> dict[str, Impact]:
    """What each of some migrations means for code from before all of them.

    Args:
        migrations: in the order in which they were applied.
        table: in which the engine keeps what it applied: what is done to that is not counted.
        major: version of the server.
        changed: ids of those whose files are not what was applied.

    Raises:
        ToolError: squawk is not installed.
    """
    new = Novelty()
    found = {}
    for migration in migrations:
        new.cross()
        judgements = [unknown("its file was changed after it was applied")] if migration.id in changed else []
        judgements += _of(migration, table, major, new)
        verdicts = [one.verdict for one in judgements]
        worst: Verdict = next((one for one in _WORST if one in verdicts), "additive")
        telling = [one.why for one in judgements if worst == "additive" or one.verdict != "additive"]
        found[migration.id] = Impact(worst, tuple(dict.fromkeys(telling)) or ("it does nothing",))
    return found


def _of(migration: Migration, table: str, major: int, new: Novelty) -> list[Judgement]:
    if not migration.file:
        return [unknown("the code that is here does not have it, so that nobody can tell what it did")]
    if not migration.sql:
        return [unknown("its SQL is not known without a database")]
    try:
        parsed = pgparse.parse(migration.sql)
    except RecursionError:
        return [unknown("it is nested too deeply to be read")]
    except pgparse.PGQueryError as error:
        return [unknown(f"PostgreSQL's parser cannot read it: {printable(str(error))}")]
    judgements: list[Judgement] = []
    harmless: list[str] = []
    for part in parsed:
        if _is_bookkeeping(part["stmt"], table):
            continue
        judged = judge(part["stmt"], new)
        judgements += judged
        if all(one.verdict == "additive" for one in judged) and not any(one.settled for one in judged):
            begin = part.get("stmt_location", 0)
            text = migration.sql.encode()[begin:][: part.get("stmt_len")].decode()
            harmless.append(text)
    return judgements + [breaking(f"squawk says: {why}") for why in objections(harmless, major).values()]


def _is_bookkeeping(statement: dict[str, Any], table: str) -> bool:
    kind, node = next(iter(statement.items()))
    if kind not in _BOOKKEEPING:
        return False
    schema, _, name = table.rpartition(".")
    relation = node["relation"]
    return (relation.get("schemaname", schema), relation["relname"]) == (schema, name)
