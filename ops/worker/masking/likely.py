"""What a column is likely to be, by its name and type: a rule to begin with, for a person to judge."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ops.worker.masking.masks import NOISY, SHIFTED
from ops.worker.masking.survey import INTEGERS, TEXTS, Column

_NAMES = [
    ("email", "e-?mail"),
    ("phone", "phone|mobile|^tel$|_tel$|^tel_|fax|msisdn"),
    ("first_name", "first_?name|given_?name|forename"),
    ("last_name", "last_?name|family_?name|surname"),
    ("address", "address|street|addr"),
    ("name", "name"),
]
_SECRET = re.compile("token|secret|password|passwd|hash|digest|iban|account_?n|card|ssn|tax|licen[cs]e|_key$|^key$")
_ID = re.compile("(^|_)id$")


@dataclass(frozen=True)
class Likely:
    """A rule, and why.

    Args:
        rule: as an inventory has it.
        reason: in a few words.
    """

    rule: str
    reason: str


def likely(column: Column, key: bool) -> Likely:
    """A rule that fits the column, on the safe side.

    Args:
        column: which.
        key: whether other rows refer to it, or it to others, or it is what rows are told apart by.
    """
    type = column.type
    if key and type.name in (*INTEGERS, "uuid"):
        return Likely('"keep"', "it numbers rows")
    if type.name in (*INTEGERS, "uuid") and _ID.search(column.name.lower()):
        return Likely('"keep"', "by its name it refers to rows")
    if type.name in TEXTS and type.length is not None and type.length < 8:
        return Likely('"fake text"', "a short text")
    if type.name in TEXTS:
        return _text(column)
    if type.category in ("E", "B"):
        return Likely('"keep"', "one of a few values")
    if type.name in SHIFTED:
        return Likely("Shift(days=30)", "a date")
    if type.name in NOISY:
        return Likely("Noise(percent=10)", "a number")
    if type.name in ("json", "jsonb") and not type.array:
        return Likely("Json(paths={})", "JSON, of which nothing is kept")
    if type.name in ("uuid", "inet", "cidr", "macaddr", "macaddr8", "bytea"):
        return Likely('"hash"', "an id or an address")
    if not column.required:
        return Likely('"null"', "nothing is known of such a type")
    return Likely('"keep"', "no rule but an expression, a constant or keep fits it: look at it")


def _text(column: Column) -> Likely:
    name = column.name.lower()
    if _SECRET.search(name):
        return Likely('"hash"', "by its name a secret or an account")
    for kind, pattern in _NAMES:
        if re.search(pattern, name):
            return Likely(f'"fake {kind}"', "by its name")
    return Likely('"fake text"', "a text")
