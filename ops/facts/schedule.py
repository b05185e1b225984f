"""Facts about what runs by itself on the runner."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from pyinfra.api.facts import FactBase
from typing_extensions import override

from ops.site import MARK


@dataclass(frozen=True)
class Keeper:
    """Who starts jobs on a host.

    Args:
        root: whether we are root there.
        kind: ``systemd``, ``cron``, or ``none``.
        flock: whether there is util-linux's flock.
        zone: the time zone that its clock shows.
    """

    root: bool
    kind: str
    flock: bool
    zone: str


class Timekeeper(FactBase[Keeper]):
    """Who starts jobs on the host."""

    @override
    def command(self) -> str:
        return (
            "PATH=$PATH:/usr/sbin:/sbin; id -u; "
            "if [ -d /run/systemd/system ]; then echo systemd; "
            "elif [ -d /etc/cron.d ] && { command -v cron || command -v crond; } >/dev/null; then echo cron; "
            "else echo none; fi; command -v flock || echo none; date +%Z"
        )

    @override
    def process(self, output: list[str]) -> Keeper:
        user, kind, flock, zone = output
        return Keeper(user == "0", kind, flock != "none", zone)


class Elapses(FactBase[list[str]]):
    """When a calendar expression of systemd's elapses next; nothing when it is none, or never does."""

    @override
    @staticmethod
    def default() -> list[str]:
        return []

    @override
    def command(self, calendar: str, times: int = 2) -> str:
        return f"TZ=UTC systemd-analyze calendar --iterations={times} {shlex.quote(calendar)} 2>&1 || true"

    @override
    def process(self, output: list[str]) -> list[str]:
        told = [line.strip().partition(": ") for line in output]
        return [time.strip() for what, _, time in told if what == "Next elapse" or what.startswith("Iter")]


class Writable(FactBase[bool]):
    """Whether a user may write to a directory."""

    @override
    def command(self, user: str, directory: str) -> str:
        return (
            f"PATH=$PATH:/usr/sbin:/sbin runuser -u {shlex.quote(user)} -- test -w {shlex.quote(directory)} "
            "&& echo yes || echo no"
        )

    @override
    def process(self, output: list[str]) -> bool:
        return output[-1:] == ["yes"]


class Runs(FactBase[bool]):
    """Whether a user may run an interpreter in a directory, and read a file from there."""

    @override
    def command(self, user: str, directory: str, python: str, file: str) -> str:
        script = 'cd "$1" && "$2" -c "import ops.job" && test -r "$3"'
        words = shlex.join(["runuser", "-u", user, "--", "sh", "-c", script, "sh", directory, python, file])
        return f"PATH=$PATH:/usr/sbin:/sbin {words} >/dev/null 2>&1 && echo yes || echo no"

    @override
    def process(self, output: list[str]) -> bool:
        return output[-1:] == ["yes"]


class Keys(FactBase[dict[str, str]]):
    """The files of a directory: of each, its SHA-256, mode and owner in one text."""

    @override
    @staticmethod
    def default() -> dict[str, str]:
        return {}

    @override
    def command(self, directory: str) -> str:
        return (
            f'cd {shlex.quote(directory)} 2>/dev/null && for file in *; do test -f "$file" && '
            'echo "$file $(sha256sum < "$file" | cut -d" " -f1) $(stat -c "%a %U" "$file")"; done || true'
        )

    @override
    def process(self, output: list[str]) -> dict[str, str]:
        return {name: told for name, _, told in (line.partition(" ") for line in output)}


class _Lines(FactBase[list[str]]):
    """What a command prints, line by line."""

    @override
    @staticmethod
    def default() -> list[str]:
        return []

    @override
    def process(self, output: list[str]) -> list[str]:
        return output


def _quoted(patterns: Sequence[str]) -> str:
    """Patterns as words of the shell, of which only ``*`` is not taken literally."""
    return " ".join("*".join(map(shlex.quote, pattern.split("*"))) for pattern in patterns)


class Found(_Lines):
    """The paths that match patterns of the shell's, of which only ``*`` is not taken literally."""

    @override
    def command(self, patterns: Sequence[str]) -> str:
        return f"ls -d {_quoted(patterns)} 2>/dev/null || true"


class Told(_Lines):
    """What the files that match patterns say they are about, each once."""

    @override
    def command(self, patterns: Sequence[str]) -> str:
        return f"sed -n {shlex.quote(f's/^{MARK}//p')} {_quoted(patterns)} 2>/dev/null | sort -u; true"


class Running(FactBase[list[str]]):
    """The jobs of an environment that run at this moment: their units, or where there is no systemd, their locks."""

    @override
    @staticmethod
    def default() -> list[str]:
        return []

    @override
    def command(self, prefix: str, state: str) -> str:
        return (
            "if [ -d /run/systemd/system ]; then "
            "systemctl list-units --plain --no-legend --state=activating,active,deactivating "
            f"{shlex.quote(f'{prefix}*.service')} 2>/dev/null; else "
            f'for lock in {state}/*.lock; do [ ! -e "$lock" ] || flock -n "$lock" true || echo "$lock"; done; fi; true'
        )

    @override
    def process(self, output: list[str]) -> list[str]:
        return [line.split()[0] for line in output if line.strip()]
