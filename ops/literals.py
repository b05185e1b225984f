"""Statements without what stands in them: values are personal data, or secrets."""

from __future__ import annotations

import re

from ops.errors import printable

# A text may end anywhere: PostgreSQL keeps the first kilobyte of a statement. What was begun and is not ended is taken
# out to the end, and so is what comes after a backslash before a quote, which means one thing or another by a setting.
_VALUES = re.compile(
    r"""
    /\*(?:(?!/\*|\*/).)*(?:\*/|/\*.*|\Z) | --[^\r\n]*    # comments, in which tracers write; one in another ends it all
    | \b[eE]'(?:\\.|''|[^'\\])*(?:'|\Z)
    | '(?:''|[^'\\]|\\(?!'))*(?:\\'.*|'|\Z)
    | \$(?P<tag>(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?)\$.*?(?:\$(?P=tag)\$|\Z)
    | (?<![\w$."])[-+]?(?:\d[\w.]*|\.\d\w*)              # a number; not what ends a name, nor $1
    | (?P<name>"(?:""|[^"])*(?:"|\Z))
    """,
    re.VERBOSE | re.DOTALL,
)


def masked(statement: str, most: int = 60) -> str:
    """The words of a statement on one line, with ``?`` for every value in it, cut to a length.

    Args:
        statement: in SQL, whole or cut off.
        most: characters.
    """
    said = printable(_VALUES.sub(_without, statement))
    return said if len(said) <= most else f"{said[: most - 1]}…"


def _without(found: re.Match[str]) -> str:
    if found["name"]:
        return found["name"]
    return " " if found[0].startswith(("/*", "--")) else "?"
