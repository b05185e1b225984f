"""Which kinds of errors stand in log lines: the same error is one kind, whatever values are in it; none is shown."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from ops.errors import printable

LENGTH = 72
"""Characters of a kind."""
_LOOKED_AT = 600
"""Characters of a line that are looked at: more would take long, and is cut off in any case."""

# What runs a service writes before each line: a time, with the host and the unit, or the process.
_TIME = r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d[.,\d]*(?:Z|[+-]\d\d:?\d\d)?"
_BEFORE = re.compile(
    rf"^(?:{_TIME}\s(?:[\w.-]+\s[^\s\[\]:]+(?:\[\d+\])?:\s)?|[A-Z][a-z]{{2}}\s+\d+\s\d\d:\d\d:\d\d\s\S+\s\S+:\s|\d+\|\S+\s+\|\s)"
)
_TRACE = "Traceback (most recent call last)"
# What Python writes between two traces of one error.
_BETWEEN = re.compile(r"^(?:The above exception was|During handling of the above exception)")
_ACCESS = re.compile(r'"([A-Z]{3,7}) (\S*) HTTP/[\d.]+" (\d{3})\b')
_WRONG = re.compile(
    r"error|exception|fatal|critical|panic|\[(?:crit|alert|emerg)\]|\bfail(?:ed|ure|s)?\b"
    r"|segfault|segmentation fault|out of memory|\boom\b|unhandled|uncaught|core dumped",
    re.IGNORECASE,
)
_FINE = re.compile(
    r"\b(?:no|without(?: any)?|0|zero) (?:errors?|exceptions?|failures?)\b|\berrors?[=:] ?0\b", re.IGNORECASE
)
# Of a line in JSON: how bad it is, and what it says.
_LEVEL = ("level", "severity", "lvl", "levelname", "status")
_BAD_NUMBER = 50
"""The level of an error in pino and bunyan; Python's CRITICAL."""
_SAYS = ("message", "msg", "error", "err", "exception", "event", "textPayload")
_VALUES = [
    (re.compile(r"https?://\S+|\b\w+://\S+"), "<url>"),
    (re.compile(r"[\w.+-]+@[\w.-]+"), "<email>"),
    (re.compile(r'"(?:\\.|[^"\\])*(?:"|$)|`[^`]*(?:`|$)|“[^”]*(?:”|$)|«[^»]*(?:»|$)|‘[^’]*(?:’|$)'), "?"),
    (re.compile(r"(?:(?<!\w)|\b[bBuUrRfF]{1,2})'(?:\\.|[^'\\])*(?:'|$)"), "?"),
    (re.compile(r"=[=>]*\s*(?:\([^)]*(?:\)|$)|[^\s,;)\]}]+)"), "=?"),
    (re.compile(r"(?:(?<=\s)|^)/[^\s:,;)]+"), "<path>"),
    # Whatever has a digit in it or is long without being a word: numbers, ids, addresses, tokens, hashes.
    (re.compile(r"(?<![\w<])[-+]?[\w.:/+-]*\d[\w.:/+%-]*"), "#"),
    (re.compile(r"\b[\w+/-]{28,}={0,2}"), "#"),
]  # fmt: skip


def kinds(lines: Iterable[str]) -> Counter[str]:
    """How often each kind of error stands in the lines of a log."""
    found: Counter[str] = Counter()
    traced = False
    for line in lines:
        said = _BEFORE.sub("", line)
        if not said.strip() or said[:1].isspace() or _BETWEEN.match(said):
            continue  # it goes on with what a line before it began: a trace, or the text of the program
        if _TRACE in said:
            traced = True
        elif one := _shown(said) if traced else kind(said):
            found[one] += 1
            traced = False
    return found


def kind(said: str) -> str:
    """What kind of error a line tells of; empty when it tells of none."""
    access = _ACCESS.search(said)
    if access:
        method, path, code = access.groups()
        return _cut(f"HTTP {code} {method} {_route(path)}") if code.startswith("5") else ""
    return _of_json(said) if said.startswith("{") else _of_text(said)


def _of_text(said: str) -> str:
    return _shown(said) if _WRONG.search(_FINE.sub("", said)) else ""


def _shown(said: str) -> str:
    """A line without the values in it."""
    said = said[:_LOOKED_AT]
    for value, place in _VALUES:
        said = value.sub(place, said)
    said = re.sub(r"#(?:[^\w<?]*#)+", "#", re.sub(r"[\s|]+", " ", said))
    return _cut(re.sub(r"^[\[(]?#[\])]?[\s:,-]*", "", said.strip()))


def _of_json(said: str) -> str:
    """A line of a program that logs in JSON: its level, and its words."""
    document: Any = None
    with suppress(ValueError):
        document = json.loads(said)
    if not isinstance(document, dict):
        return _of_text(said)
    words = {key: str(document[key]) for key in (*_LEVEL, *_SAYS) if isinstance(document.get(key), str | int)}
    if isinstance(document.get("level"), int) and document["level"] >= _BAD_NUMBER:
        words["level"] = "error"
    level = next((words[key] for key in _LEVEL if key in words and _WRONG.search(words[key])), "")
    if not level and not any(_WRONG.search(_FINE.sub("", words.get(key, ""))) for key in _SAYS):
        return ""
    text = next((words[key] for key in _SAYS if key in words), "")
    return _of_text(f"{level or 'error'}: {text}")


def _route(path: str) -> str:
    """The beginning of a path, which says where in the program it is, without what may name somebody."""
    parts = path.partition("?")[0].split("/")[1:]
    shown = [part if re.fullmatch(r"[A-Za-z_.-]{1,24}|v\d", part) else "#" for part in parts]
    return "/" + "/".join([*shown[:3], *(["…"] if len(shown) > 3 else [])])


def _cut(text: str) -> str:
    text = printable(text)
    return text if len(text) <= LENGTH else f"{text[: LENGTH - 1]}…"
