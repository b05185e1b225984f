"""What a column is likely to be, by its name and type: a rule to begin with, for a person to judge."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ops.worker.masking.masks import DISTINCT, LONGEST, NOISY, SHIFTED, SHORT
from ops.worker.masking.survey import INTEGERS, TEXTS, Column

_PHONE = "phone|mobile|^tel$|_tel$|^tel_|fax|msisdn"
_NAMES = [
    ("email", "e-?mail"),
    ("phone", _PHONE),
    ("first_name", "first_?name|given_?name|forename"),
    ("last_name", "last_?name|family_?name|surname"),
    ("address", "address|street|addr"),
    ("name", "name"),
]
_SECRET = re.compile(
    "token|secret|password|passwd|hash|digest|iban|account_?n|card|ssn|tax|licen[cs]e|_key$|^key$|passport|national"
    "|social|device|(^|_)pin($|_)"
)
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
    type, name = column.type, column.name.lower()
    if type.name in (*INTEGERS, "uuid") and (_SECRET.search(name) or re.search(_PHONE, name)):
        return Likely('"hash"', "by its name it tells who somebody is")
    if key and type.name in (*INTEGERS, "uuid"):
        return Likely('"keep"', "it numbers rows")
    if type.name in (*INTEGERS, "uuid") and _ID.search(name):
        return Likely('"keep"', "by its name it refers to rows")
    if type.name in TEXTS:
        return _text(column, key)
    if type.category in ("E", "B"):
        return Likely('"keep"', "one of a few values")
    if type.name in SHIFTED:
        return Likely('"keep"', "a date that is a key") if key else Likely("Shift(days=30)", "a date")
    if type.name in NOISY and key:
        hashed = type.name == "numeric" and (type.precision or 15) >= 15
        return Likely('"hash"' if hashed else '"keep"', "a number that is a key")
    if type.name in NOISY:
        return Likely("Noise(percent=10)", "a number")
    if type.name in ("json", "jsonb") and not type.array:
        return Likely("Json(paths={})", "JSON, of which nothing is kept")
    if type.name in ("uuid", "inet", "cidr", "macaddr", "macaddr8", "bytea"):
        return Likely('"hash"', "an id or an address")
    if not column.required:
        return Likely('"null"', "nothing is known of such a type")
    return Likely('"keep"', "no rule but an expression, a constant or keep fits it: look at it")


def _text(column: Column, key: bool) -> Likely:
    name, room = column.name.lower(), column.type.length
    # Two values of a key must not become one.
    kinds = {"email", "phone", "name"} if key else set(LONGEST)
    if key and room is not None and room < DISTINCT:
        return Likely('"keep"', "a key, so short that no fakes of it stay different: look at it")
    if _SECRET.search(name) and (room is None or room >= SHORT):
        return Likely('"hash"', "by its name a secret or an account")
    for kind, pattern in _NAMES:
        if re.search(pattern, name) and kind in kinds and (room is None or room >= LONGEST[kind]):
            return Likely(f'"fake {kind}"', "by its name")
    return Likely('"fake text"', "a short text" if room is not None and room < SHORT else "a text")


def whole(table: str) -> str | None:
    """What may be better for a table than rules for its columns, by its name; None: nothing.

    Args:
        table: its name, without the schema.
    """
    if re.search("api_?key|credential", table.lower()):
        return '"own", or "empty"'
    if re.search("session|token|outbox|inbox|web_?hook|queue|job|otp|invite", table.lower()):
        return '"empty"'
    return None
