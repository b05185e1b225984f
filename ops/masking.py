"""The typed description of masking: what becomes of every column of production before staging sees it.

    masking=Masking(
        salt=secret("MASKING_SALT"),
        tables={
            "public.customers": {
                "id": "keep",
                "email": "fake email",
                "name": "fake name",
                "iban": "hash",
                "born": Shift(days=40),
                "profile": Json(paths={"theme": "keep", "addresses[*].street": "fake address"}),
                "note": "null",
            },
            "public.messages": Masked(without="kind = 'private'", columns={"id": "keep", "body": "fake text"}),
            "public.sessions": "empty",
            "public.api_keys": "own",
        },
    )

What has no field to be set may be written as its word alone, and so may every fake.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, JsonValue, field_validator

from ops.described import Described
from ops.secrets import Secret

FakeOf = Literal["name", "first_name", "last_name", "email", "phone", "address", "text"]
_FAKES = get_args(FakeOf)


class Keep(Described):
    """It stays as it is: nothing personal, nothing secret is in it."""

    kind: Literal["keep"] = "keep"


class Null(Described):
    """NULL."""

    kind: Literal["null"] = "null"


class Constant(Described):
    """The same in every row; what is NULL stays NULL.

    Args:
        value: a text as PostgreSQL reads one of the column's type, a number, a truth value; a list for an array;
            anything for JSON.
    """

    kind: Literal["constant"] = "constant"
    value: JsonValue

    @field_validator("value")
    @classmethod
    def _is_one(cls, value: JsonValue) -> JsonValue:
        if value is None:
            raise ValueError('write "null" for NULL')
        return value


class Hash(Described):
    """A keyed hash: the same for the same value everywhere, another for another.

    Texts become 32 hexadecimal digits or as many as fit, numbers numbers, a UUID a UUID, an address of a network one
    of a private network. Of integers of one width no two become the same.
    """

    kind: Literal["hash"] = "hash"


class Fake(Described):
    """Something that looks like one and is no one's: the same for the same value everywhere.

    Args:
        of: ``name``, ``first_name``, ``last_name`` (such as ``Xbadeko``), ``email`` (at example.com), ``phone`` (in
            the country +999, which does not exist), ``address``; ``text`` is an x, hexadecimal digits and more x, of
            the same length, and of 16 characters or more in a column that is unique.
    """

    kind: Literal["fake"] = "fake"
    of: FakeOf


class Shift(Described):
    """A date or time, some days earlier or later, never on the same day.

    Args:
        days: the most by which it is shifted.
        by: a column of the same table: rows with the same value in it are shifted by the same days, so that what lies
            between two dates of one customer stays; None: the same dates are shifted by the same days.
    """

    kind: Literal["shift"] = "shift"
    days: Annotated[int, Field(ge=1, le=3650)] = 30
    by: str | None = None


class Noise(Described):
    """A number, some percent smaller or larger; the same for the same number.

    Args:
        percent: the most by which it changes.
    """

    kind: Literal["noise"] = "noise"
    percent: Annotated[float, Field(gt=0, le=100)] = 10


class Expression(Described):
    """What an expression in SQL makes of the row. Whether anything of the original is left in it is not known.

    Args:
        sql: as it stands in a SELECT of the table; names are looked for in the table's own schema.
    """

    kind: Literal["expression"] = "expression"
    sql: Annotated[str, Field(min_length=1)]


def _rule(value: object) -> object:
    """A rule in a word."""
    if not isinstance(value, str):
        return value
    if value in _WORDS:
        return {"kind": value}
    word, _, of = value.partition(" ")
    if word == "fake" and of in _FAKES:
        return {"kind": "fake", "of": of}
    words = ", ".join([*_WORDS, *(f"fake {one}" for one in _FAKES)])
    raise ValueError(f"{value!r} is no rule; in a word there are: {words}")


_WORDS = ("keep", "null", "hash")

_STEP = re.compile(r'(?:^|\.)(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<key>[^.\[\]"]+))|(?P<each>\[\*\])')


def steps(path: str) -> tuple[str | None, ...]:
    """A path in JSON, key by key; None is each element of an array.

    Raises:
        ValueError: it is none.
    """
    found: list[str | None] = []
    at = 0
    while at < len(path) or not path:
        step = _STEP.match(path, at)
        if step is None:
            raise ValueError(f'{path!r} is no path; write address.street, orders[*].card, [*] or "a.b".c')
        found.append(None if step["each"] else step["key"] or step["quoted"].replace('""', '"'))
        at = step.end()
    return tuple(found)


LeafRule = Annotated[
    Annotated[Keep | Null | Constant | Hash | Fake | Noise, Field(discriminator="kind")], BeforeValidator(_rule)
]


class Json(Described):
    """JSON, path by path. What is not of the shape that the paths expect becomes null.

    Args:
        paths: by path, the rule for what lies there: ``address.street``, ``orders[*].card``, ``"a.b"."c"``, ``[*]``;
            ``keep`` keeps all that lies below. Texts and numbers are masked, JSON's null stays, anything else
            below a path that is masked becomes null.
        rest: whether all other paths are removed or kept.
    """

    kind: Literal["json"] = "json"
    paths: dict[str, LeafRule] = Field(default_factory=dict)
    rest: Literal["remove", "keep"] = "remove"

    @field_validator("paths")
    @classmethod
    def _can_be_followed(cls, paths: dict[str, LeafRule]) -> dict[str, LeafRule]:
        followed = {steps(path): path for path in paths}
        for one in followed:
            above = next((one[:end] for end in range(len(one)) if one[:end] in followed), None)
            if above is not None and not isinstance(paths[followed[above]], Keep):
                raise ValueError(f"{followed[one]} lies below {followed[above]}, which is masked as a whole")
        return paths


AnyRule = Annotated[
    Annotated[
        Keep | Null | Constant | Hash | Fake | Shift | Noise | Json | Expression,
        Field(discriminator="kind"),
    ],
    BeforeValidator(_rule),
]


class Masked(Described):
    """A table whose rows are copied, column by column. One that PostgreSQL computes from others needs no rule.

    The partitions of a table are masked as it is, and are not named; a table that inherits from another is.

    Args:
        columns: by name, its rule.
        without: which rows are left out, in SQL, as it stands behind ``WHERE``.
    """

    kind: Literal["masked"] = "masked"
    columns: dict[str, AnyRule]
    without: Annotated[str, Field(min_length=1)] | None = None


class Empty(Described):
    """A table of which no row is copied; an extension's own stays as the extension makes it."""

    kind: Literal["empty"] = "empty"


class Own(Described):
    """A table that has staging's own rows, those that it had before."""

    kind: Literal["own"] = "own"


class Remote(Described):
    """A foreign table, whose rows are elsewhere: whoever reads it in staging reads what its server gives."""

    kind: Literal["remote"] = "remote"


def _table(value: object) -> Any:
    """A table in a word, or as its columns alone."""
    if isinstance(value, str):
        if value not in ("empty", "own", "remote"):
            raise ValueError(f"{value!r} is no rule of a table; write its columns, or one of: empty, own, remote")
        return {"kind": value}
    # A column may be called kind as well, but no rule of a column is called as a table's is.
    if isinstance(value, dict) and value.get("kind") not in _TABLES:
        return {"kind": "masked", "columns": value}
    return value


_TABLES = ("masked", "empty", "own", "remote")

AnyTable = Annotated[
    Annotated[Masked | Empty | Own | Remote, Field(discriminator="kind")],
    BeforeValidator(_table),
]


class Masking(Described):
    """What becomes of every table and column; one that is not named here stops the refresh.

    Args:
        salt: a secret of 16 characters or more, from which all fakes and hashes follow: another makes others.
        tables: by name, with its schema, as in SQL; an ordinary one may be in capitals without quotes.
        common: kept columns, such as ``public.cities.name``, whose values may be those of a masked one by chance: they
            are not taken for originals that survived.
        large_objects: ``left out``, where production has any: none is copied.
    """

    salt: Secret
    tables: dict[str, AnyTable]
    common: tuple[str, ...] = ()
    large_objects: Literal["left out"] | None = None
