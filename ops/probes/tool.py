"""The version of a program, as it tells it itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from shlex import quote

from packaging.version import Version

from ops.checks import Outcome, Result, Tool
from ops.platforms.shell import Shell

_ABSENT = 66
"""Exit code of our script: there is no such program."""
_ARGUMENTS = {"go": "version", "java": "-version", "nginx": "-v", "openssl": "version", "ssh": "-V"}
"""Of programs that do not know ``--version``."""
# Asked for its version, pm2 starts a daemon when there is none.
_PM2 = (
    """sed -n 's/^ *"version": *"\\(.*\\)".*/\\1/p' """
    '"$(dirname "$(dirname "$(readlink -f "$(command -v {})")")")/package.json"'
)
_DOTTED = re.compile(r"(?<![\d.])\d+(?:\.\d+)+")
_WHOLE = re.compile(r"(?<![\w.-])v?(\d+)")


def ask(check: Tool, at: Shell) -> Iterator[Result]:
    """See ``ops.probes``."""
    name, limit = check.subject(), _limit(check)
    program = quote(check.command)
    asked = f"{program} {quote(check.argument or _ARGUMENTS.get(name, '--version'))}"
    if name == "pm2":
        asked = _PM2.format(program)
    # A program may end with our own code, and is not missing.
    ran = at.run(f"command -v {program} >/dev/null || exit {_ABSENT}\n{asked} || exit 1", check.timeout)
    if ran.code == _ABSENT:
        hint = "Install it, or give its path: command=…; what a login adds to PATH is not seen"
        yield Result(Outcome.FAIL, f"{name} is not installed", limit, hint)
        return
    version = _version(ran.out) or _version(ran.err)
    if ran.code or version is None:
        hint = f"On the host: {asked}; another argument may be needed: argument=…"
        yield Result(Outcome.UNKNOWN, f"{name} tells no version: {ran.said[:80]}", limit, hint)
        return
    found = Version(version)
    if check.at_least and found < Version(check.at_least):
        yield Result(Outcome.FAIL, f"{version} is too old", limit, f"Install {name} {check.at_least} or newer")
    elif check.below and found >= Version(check.below):
        yield Result(Outcome.FAIL, f"{version} is too new", limit, f"Install {name} below {check.below}")
    else:
        yield Result(Outcome.PASS, version, limit)


def _version(printed: str) -> str | None:
    """The first dotted number; only where there is none, the first number that a word begins with."""
    dotted = _DOTTED.search(printed)
    if dotted:
        return dotted[0]
    whole = _WHOLE.search(printed)
    return whole[1] if whole else None


def _limit(check: Tool) -> str:
    limits = [f"≥ {check.at_least}"] if check.at_least else []
    limits += [f"< {check.below}"] if check.below else []
    return ", ".join(limits) or "installed"
