"""What some migrations make, as far as their SQL tells: old code does not know it, so that it cannot break by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Tree = dict[str, Any]
Key = tuple[str, str, str]


@dataclass
class Column:
    """One that was added to a table that was there before.

    Args:
        required: whether it must have a value.
        filled: whether it has one when none is given.
        bound: whether a constraint or a unique index holds it.
    """

    required: bool
    filled: bool
    bound: bool = False


class Novelty:
    """Names that are new, each with its schema, or with the search path where it was written without.

    What was made by ``IF NOT EXISTS`` or ``OR REPLACE`` may have been there, and is not counted.
    """

    def __init__(self) -> None:
        self._made: set[Key] = set()
        self._temporary: set[Key] = set()
        self._beyond: set[Key] = set()
        self._columns: dict[tuple[Key, str], Column] = {}
        self._path = 0
        self._strayed = False

    def leave_path(self) -> None:
        """The search path was changed: a name without a schema means something else from here on."""
        self._strayed = True
        self._path += 1

    def cross(self) -> None:
        """A transaction or a migration ended: what was temporary may be gone, and the search path as it was before."""
        self._made -= self._temporary
        if self._strayed:
            self._path += 1

    def key(self, kind: str, names: list[str]) -> Key:
        """What an object is known by.

        Args:
            kind: relation, type, function …
            names: the schema, where it was written, and the name.
        """
        return kind, names[-2] if len(names) > 1 else f"the path {self._path}", names[-1]

    def relation(self, tree: Tree) -> Key:
        """The key of a table, view, sequence or index, as a ``RangeVar`` names it."""
        return self.key("relation", [*([tree["schemaname"]] if "schemaname" in tree else []), tree["relname"]])

    def add(self, key: Key) -> None:
        """It was made."""
        self._made.add(key)

    def add_table(self, tree: Tree) -> None:
        """A table was made; a temporary one may hide one that was there before."""
        self._made.add(key := self.relation(tree))
        if tree.get("relpersistence") == "t":
            self._temporary.add(key)

    def lead_beyond(self, tree: Tree) -> None:
        """What is done to its rows is done elsewhere too, or only there: it is a view, or has a trigger or a rule."""
        self._beyond.add(self.relation(tree))

    def leads_beyond(self, tree: Tree) -> bool:
        """Whether it does."""
        return self.relation(tree) in self._beyond

    def forget(self, key: Key) -> None:
        """It was dropped, or cannot be told from an old one any more."""
        self._made.discard(key)

    def rename(self, key: Key, name: str) -> None:
        """It has another name; what leads beyond is not followed there."""
        self._made.discard(key)
        if key not in self._beyond | self._temporary:
            self._made.add((key[0], key[1], name))

    def has(self, key: Key) -> bool:
        """Whether it was made."""
        return key in self._made

    def has_table(self, tree: Tree) -> bool:
        """Whether a table, view, sequence or index was made."""
        return self.has(self.relation(tree))

    def add_column(self, table: Tree, name: str, column: Column) -> None:
        """A column was added to an old table."""
        self._columns[self.relation(table), name] = column

    def drop_column(self, table: Tree, name: str) -> None:
        """It is gone again."""
        self._columns.pop((self.relation(table), name), None)

    def column(self, table: Tree, name: str) -> Column | None:
        """One that was added to an old table; None for one that was there before."""
        return self._columns.get((self.relation(table), name))
