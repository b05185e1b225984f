"""The SQL of each rule: one expression over a column, with no function of our own, so that nothing is left behind.

Everything follows from SHA-256 of a key and a value's text; at most half of it is shown, so that nothing can be added
to the text afterwards (HMAC would take twice the time for that). The key is in a temporary table of the session, into
which it came by ``COPY``: in no statement and in no parameter, both of which a server may log.

Nothing that is made here can be taken for an original: a text is an x, hexadecimal digits and more x, names begin with
X and a consonant, e-mails are at example.com under 16 hexadecimal digits, telephones are in the country +999.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable

import psycopg
from psycopg import sql

from ops.errors import ConfigurationError
from ops.masking import AnyRule, Constant, Expression, Fake, Hash, Json, Keep, Noise, Null, Shift
from ops.secrets import Secret
from ops.worker.masking import json_masks
from ops.worker.masking.survey import INTEGERS, TEXTS, Type

SHORTEST_SALT = 16
"""Characters."""
DISTINCT = 16
"""Letters and digits of a text that is unique."""
SHORT = 8
"""Characters that a hash has at least."""

_SYLLABLES = [c + v for c in "bdfgjklmnprstvwz" for v in ("a", "e", "i", "o", "u", "ai", "ei", "ou")]
_FILLING = " xxxx xxxxxxx xx"
LONGEST = {"name": 27, "first_name": 10, "last_name": 16, "email": 29, "phone": 16, "address": 28, "text": 1}
_BITS = {"int2": 15, "int4": 31, "int8": 63}


def revealed_salt(salt: Secret) -> bytes:
    """The salt itself.

    Raises:
        ConfigurationError: it is too short to be one.
    """
    secret = salt.reveal()
    if len(secret) < SHORTEST_SALT:
        raise ConfigurationError(
            f"{salt!r}, the salt of the masking, has fewer than {SHORTEST_SALT} characters",
            "Type: openssl rand -hex 32",
        )
    return secret.encode()


def bring_salt(connection: psycopg.Connection, salt: Secret) -> None:
    """Bring a session the key of all masks.

    Raises:
        ConfigurationError: the salt is too short to be one.
    """
    key = hmac.digest(revealed_salt(salt), b"pyinfra-ops masking", hashlib.sha256)
    connection.execute("CREATE TEMPORARY TABLE ops_key (key bytea)")
    with connection.cursor().copy("COPY pg_temp.ops_key FROM STDIN") as copy:
        copy.write(f"\\\\x{key.hex()}\n")


def literal(value: str) -> str:
    """A text as SQL."""
    return sql.Literal(value).as_string(None)


def identifier(name: str) -> str:
    """A name as SQL."""
    return sql.Identifier(name).as_string(None)


def expression(rule: AnyRule, column: str, type: Type, distinct: bool, by: tuple[str, Type] | None = None) -> str:
    """What is asked for in place of a column.

    Args:
        rule: of the column, which fits its type.
        column: as SQL.
        type: of the column.
        distinct: whether different values must stay different.
        by: for a shift, the column whose values decide, as SQL, and its type.
    """
    if isinstance(rule, Keep):
        return column
    if isinstance(rule, Null):
        return "NULL"
    if isinstance(rule, Expression):
        return f"({rule.sql}\n)"
    if isinstance(rule, Constant):
        # Read as the type already here, before a row is copied; but a cast would cut off what is too long.
        cast = f"::{type.shown}" if type.length is None else ""
        return f"CASE WHEN {column} IS NOT NULL THEN {literal(constant(rule, type))}{cast} END"
    if isinstance(rule, Json):
        return json_masks.masked(rule, f"{column}::jsonb", leaf)
    if type.array:
        element = _scalar(rule, "e", type, distinct, by)
        each = (
            f"SELECT coalesce(array_agg({element} ORDER BY o), '{{}}') FROM unnest({column}) WITH ORDINALITY AS u(e, o)"
        )
        return f"CASE WHEN {column} IS NOT NULL THEN ({each}) END"
    return _scalar(rule, column, type, distinct, by)


def longest(rule: AnyRule, distinct: bool) -> int:
    """Characters that a column of texts must have room for, for a rule to fit."""
    if isinstance(rule, Hash):
        return DISTINCT if distinct else SHORT
    if isinstance(rule, Fake):
        return DISTINCT if distinct and rule.of == "text" else LONGEST[rule.of]
    return 0


def constant(rule: Constant, type: Type) -> str:
    """A constant as PostgreSQL reads a value of the type."""
    value = rule.value
    if type.name in ("json", "jsonb") and not type.array:
        return json.dumps(value)
    if isinstance(value, list):
        return "{" + ",".join(json.dumps(_plain(one), ensure_ascii=False) for one in value) + "}"
    return _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def leaf(rule: AnyRule, value: str) -> str:
    """A text or a number within JSON, as JSON; what is neither becomes null."""
    if isinstance(rule, Keep):
        return value
    if isinstance(rule, Null):
        return "'null'::jsonb"
    if isinstance(rule, Constant):
        return (
            f"CASE WHEN jsonb_typeof({value}) <> 'null' THEN {literal(json.dumps(rule.value))}::jsonb ELSE {value} END"
        )
    text = f"({value} #>> '{{}}')"
    number = "'null'::jsonb"
    if isinstance(rule, Noise):
        made = _noise(rule, f"{text}::numeric", Type("numeric", "numeric", "N"))
        return f"CASE jsonb_typeof({value}) WHEN 'number' THEN to_jsonb({made}) ELSE 'null' END"
    if isinstance(rule, Hash):
        number = f"to_jsonb({_number(_keyed('number', text))} % 1000000000000)"
    elif isinstance(rule, Fake):
        number = f"to_jsonb({_text(rule, text, None, False)})"
    made = f"to_jsonb({_text(rule, text, None, False)})"
    return f"CASE jsonb_typeof({value}) WHEN 'string' THEN {made} WHEN 'number' THEN {number} ELSE 'null' END"


def _scalar(rule: AnyRule, value: str, type: Type, distinct: bool, by: tuple[str, Type] | None) -> str:
    if isinstance(rule, Shift):
        return _shift(rule, value, type, by)
    if isinstance(rule, Noise):
        return _noise(rule, value, type)
    if type.name in TEXTS:
        return _text(rule, f"{value}::text", type, distinct)
    return _HASHES[type.name](value, type)


def canonical(value: str, type: Type) -> str:
    """The text of a value, the same for all values that PostgreSQL takes for equal."""
    if type.name == "citext":
        return f"lower({value}::text)"
    return f"trim_scale({value})::text" if type.name == "numeric" and not type.array else f"{value}::text"


def _keyed(purpose: str, text: str) -> str:
    return f"sha256((SELECT key FROM pg_temp.ops_key) || textsend({literal(purpose + ':')} || {text}))"


def _digits(digest: str, count: int) -> str:
    """As many hexadecimal digits of it, an even number."""
    return f"encode(substr({digest}, 1, {count // 2}), 'hex')"


def _number(digest: str) -> str:
    """60 bits of it."""
    return f"('x' || {_digits(digest, 16)})::bit(60)::bigint"


def _text(rule: AnyRule, text: str, type: Type | None, distinct: bool) -> str:
    same = f"lower({text})" if type is not None and type.name == "citext" else text
    room = type.length if type is not None else None
    if isinstance(rule, Hash):
        made = f"left({_digits(_keyed('hash', same), 32)}, {min(32, room or 32)})"
    else:
        assert isinstance(rule, Fake)
        digest = _keyed(rule.of, same)
        made = _letters(digest, text, distinct) if rule.of == "text" else _FAKES[rule.of](digest)
    return f"CASE WHEN {text} <> '' THEN {made} ELSE {text} END"


def _letters(digest: str, text: str, distinct: bool) -> str:
    length = f"greatest(char_length({text}), {DISTINCT})" if distinct else f"char_length({text})"
    # Translating digits into letters would take longer than all the rest of it.
    beginning = f"left('x' || {_digits(digest, DISTINCT)}, {DISTINCT})"
    # A blank at the end may be against a constraint, or cut off.
    return (
        f"CASE WHEN {length} <= {DISTINCT} THEN left({beginning}, {length})"
        f" ELSE rpad({beginning}, {length} - 1, '{_FILLING}') || 'x' END"
    )


def _email(digest: str) -> str:
    return f"'u' || {_digits(digest, 16)} || '@example.com'"


def _phone(digest: str) -> str:
    return f"'+999' || lpad(({_number(digest)} % 1000000000000)::text, 12, '0')"


def _word(first: int, last: int) -> str:
    table = literal("{" + ",".join(_SYLLABLES) + "}")
    return " || ".join(["'X'", *(f"({table}::text[])[1 + (get_byte(h, {n}) & 127)]" for n in range(first, last))])


def _of_words(made: str) -> Callable[[str], str]:
    return lambda digest: f"(SELECT {made} FROM (SELECT {digest} AS h OFFSET 0) AS s)"


_FAKES: dict[str, Callable[[str], str]] = {
    "email": _email,
    "phone": _phone,
    "first_name": _of_words(_word(0, 3)),
    "last_name": _of_words(_word(0, 5)),
    "name": _of_words(f"{_word(0, 3)} || ' ' || {_word(3, 8)}"),
    "address": _of_words(f"(1 + (get_byte(h, 8) * 256 + get_byte(h, 9)) % 9998) || ' ' || {_word(0, 5)} || ' Road'"),
}


def _shift(rule: Shift, value: str, type: Type, by: tuple[str, Type] | None) -> str:
    key = f"coalesce({canonical(*by)}, '')" if by else f"{value}::text"
    unit = "" if type.name == "date" else " * interval '1 day'"
    days = f"CASE WHEN n < {rule.days} THEN n - {rule.days} ELSE n - {rule.days - 1} END::int"
    number = f"SELECT {_number(_keyed('shift', key))} % {2 * rule.days} AS n OFFSET 0"
    return f"(SELECT {value} + ({days}){unit} FROM ({number}) AS s)"


def _noise(rule: Noise, value: str, type: Type) -> str:
    real = type.name in ("float4", "float8", "money")
    kind = "float8" if real else "numeric"
    # Between a tenth of it and all of it, either way.
    share = f"(100 + n % 901) / 1000.0::{kind} * (1 - 2 * (n / 901 % 2)) * {rule.percent / 100!r}::{kind}"
    number = f"SELECT {_number(_keyed('noise', canonical(value, type)))} AS n OFFSET 0"
    if real:
        made = f"{value} * (1 + {share})"
    else:
        made = f"round({value}::numeric * (1 + {share}), {_scale(value, type)})"
        if most := _most(type):
            made = f"least(greatest({made}, -{most}), {most})"
    # The least of NULL and a number is that number.
    return f"(SELECT {made} FROM ({number}) AS s WHERE {value} IS NOT NULL)"


def _scale(value: str, type: Type) -> str:
    if type.name != "numeric":
        return "0"
    return str(type.scale) if type.scale is not None else f"coalesce(scale({value}), 0)"


def _most(type: Type) -> str | None:
    """The largest number that fits."""
    if type.name in _BITS:
        return str(2 ** _BITS[type.name] - 1)
    if type.precision is None or type.scale is None:
        return None
    return str(10**type.precision - 1) + (f"::numeric / 1e{type.scale}" if type.scale >= 0 else f"0e{-type.scale - 1}")


def _permuted(value: str, type: Type) -> str:
    """Another integer of the same width and sign, a different one for each: four rounds of a Feistel network."""
    bits = _BITS[type.name]
    high, low = bits // 2, bits - bits // 2

    def round(number: int, half: str, width: int) -> str:
        digits = _digits(_keyed(f"{type.name} {number}", f"{half}::text"), 8)
        return f"(('x' || {digits})::bit(32)::bigint & {2**width - 1})"

    # What is negative is permuted as its complement.
    made = f"SELECT CASE WHEN {value} < 0 THEN ~{value}::int8 ELSE {value}::int8 END AS v OFFSET 0"
    made = f"SELECT v >> {low} AS l, v & {2**low - 1} AS r FROM ({made}) AS s OFFSET 0"
    for number in range(4):
        new = (f"l # {round(number, 'r', high)} AS l, r", f"l, r # {round(number, 'l', low)} AS r")[number % 2]
        made = f"SELECT {new} FROM ({made}) AS s OFFSET 0"
    whole = f"l << {low} | r"
    return (
        f"(SELECT CASE WHEN {value} < 0 THEN ~({whole}) ELSE {whole} END FROM ({made}) AS s WHERE {value} IS NOT NULL)"
    )


def _decimal(value: str, type: Type) -> str:
    digits = min(15, type.precision or 15)
    scale = max(type.scale or 0, 0)
    return f"({_number(_keyed('hash', canonical(value, type)))} % {10**digits})::numeric / 1e{scale}"


def _inet(value: str, type: Type) -> str:
    four = "'10.' || get_byte(h, 0) || '.' || get_byte(h, 1) || '.' || get_byte(h, 2)"
    six = " || ':' || ".join(f"substr(encode(h, 'hex'), {1 + 4 * n}, 4)" for n in range(7))
    made = f"CASE family({value}) WHEN 4 THEN {four} ELSE 'fd' || substr(encode(h, 'hex'), 40, 2) || ':' || {six} END"
    return (
        f"(SELECT {made} FROM (SELECT {_keyed('hash', f'{value}::text')} AS h OFFSET 0) AS s WHERE {value} IS NOT NULL)"
    )


def _bytes(value: str, type: Type) -> str:
    digits = f"encode({value}, 'hex')"
    return f"CASE WHEN {value} <> '' THEN substr({_keyed('hash', digits)}, 1, 16) ELSE {value} END"


def _hexadecimal(first: str, digits: int) -> Callable[[str, Type], str]:
    return lambda value, type: f"{literal(first)} || {_digits(_keyed('hash', f'{value}::text'), digits)}"


_HASHES: dict[str, Callable[[str, Type], str]] = {
    **dict.fromkeys(INTEGERS, _permuted),
    "numeric": _decimal,
    "uuid": _hexadecimal("", 32),
    "inet": _inet,
    "cidr": _inet,
    "macaddr": _hexadecimal("02", 10),
    "macaddr8": _hexadecimal("02", 14),
    "bytea": _bytes,
}
HASHED = (*TEXTS, *_HASHES)
"""The types, or what their elements or domains are made of, that can be hashed."""
SHIFTED = ("date", "timestamp", "timestamptz")
NOISY = (*INTEGERS, "numeric", "float4", "float8", "money")
