"""Units of systemd, by ``systemctl`` and ``journalctl``."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from shlex import quote

from ops.errors import ServiceError, ServiceMissing
from ops.platforms import crash_loop, processes
from ops.platforms.base import Instance, State
from ops.platforms.directories import holding
from ops.platforms.released import ReleasedPlatform
from ops.platforms.shell import Ran, Shell, must
from ops.services import Systemd

_STATES = {
    "active": State.RUNNING,
    "reloading": State.RUNNING,
    "refreshing": State.RUNNING,
    "activating": State.STARTING,
    "deactivating": State.STOPPED,
    "inactive": State.STOPPED,
    "failed": State.FAILED,
    "maintenance": State.FAILED,
}
_PROPERTIES = "LoadState,ActiveState,SubState,MainPID,NRestarts,ExecMainStartTimestamp"
_PATIENCE = 200
"""Seconds for a stop and a start: systemd itself allows 90 for each, if the unit says nothing else."""


class SystemdPlatform(ReleasedPlatform):
    """A service under systemd on one host.

    Args:
        service: its description.
        shell: on the host.
    """

    def __init__(self, service: Systemd, shell: Shell) -> None:
        super().__init__(service, shell)
        self._units = service.units or (service.name,)

    def _ask(self) -> tuple[tuple[Instance, ...], str]:
        # systemd before 247 knows no --timestamp; then whole seconds have to do.
        show = f"systemctl show -p {_PROPERTIES} {{}} -- {' '.join(map(quote, self._units))}"
        script = (
            "export LC_ALL=C TZ=UTC\n"
            f"shown=$({show.format('--timestamp=us+utc')} 2>/dev/null || {show.format('')})\n"
            f'echo "$shown"; echo\n{crash_loop.NOW}{processes.SCRIPT}'
            'began $(echo "$shown" | sed -n "s/^MainPID=//p")\n'
        )
        ran = self._shell.run(script + self._releases_script())
        # A unit's answer does not repeat the name that was asked for: it may be an alias. The order is the same.
        shown = [dict(re.findall(r"^(\w+)=(.*)$", block, re.MULTILINE)) for block in ran.out.split("\n\n")]
        shown = [properties for properties in shown if "LoadState" in properties]
        if len(shown) != len(self._units):
            raise ServiceError(f"{self._shell.host}: systemd does not answer: {ran.said}", "Does systemd run there?")
        began = processes.read(ran.out)
        named = zip(self._units, shown, strict=True)
        instances = tuple(self._instance(unit, properties, began, ran.out) for unit, properties in named)
        return instances, ran.out

    def _instance(
        self, unit: str, shown: dict[str, str], began: dict[int, processes.Process], printed: str
    ) -> Instance:
        if shown["LoadState"] == "not-found":
            raise self._missing(unit)
        state = _STATES.get(shown["ActiveState"], State.FAILED)
        if shown["SubState"].startswith("auto-restart"):
            state = State.FAILED  # it died, and systemd waits before it tries once more
        # systemd tells it since 235.
        restarts = int(shown["NRestarts"]) if "NRestarts" in shown else None
        if state not in (State.RUNNING, State.STARTING):
            return Instance(unit, state, restarts=restarts)
        since = _time(shown.get("ExecMainStartTimestamp", ""))
        if since and crash_loop.in_one(restarts or 0, since, crash_loop.now(printed)):
            return Instance(unit, State.FAILED, restarts=restarts)
        process = began.get(int(shown.get("MainPID", 0)))
        release = holding(printed, process.directory) if self._directories and process else None
        return Instance(unit, state, since, release, restarts)

    def _missing(self, unit: str) -> ServiceMissing:
        return ServiceMissing(f"{self._shell.host}: systemd has no unit {unit}", "Look at units= in the inventory")

    def restart(self, instance: str) -> None:
        """See ``Platform``."""
        self._do("restart", instance)

    def start(self, instance: str) -> None:
        """See ``Platform``."""
        self._do("start", instance)

    def stop(self, instance: str) -> None:
        """See ``Platform``."""
        self._do("stop", instance)

    def _do(self, verb: str, unit: str) -> None:
        """Whether what was started holds is seen by who looks afterwards: a job that failed is no failure here."""
        script = f"export LC_ALL=C\nsystemctl --no-ask-password {verb} -- {quote(unit)}"
        forget = f"systemctl --no-ask-password reset-failed -- {quote(unit)} 2>/dev/null"
        # What was started too often before is not started at all until that is forgotten; and what has failed and is
        # then stopped has not failed any more.
        script = f"{script} && {{ {forget}; true; }}" if verb == "stop" else f"{forget}\n{script}"
        ran = self._shell.run(script, timeout=_PATIENCE)
        if ran.code == 0 or re.search(r"^(Job for|A dependency job for) .* failed", ran.err, re.MULTILINE):
            return
        if re.search(r"not found\.$|not loaded\.$", ran.err, re.MULTILINE):
            raise self._missing(unit)
        raise ServiceError(f"{self._shell.host}: {unit} could not be told to {verb}: {_first(ran)}",
                           "May the user that connects do this? Connect as root, or with sudo")  # fmt: skip

    def logs(self, since: datetime | None = None, lines: int = 100, instance: str | None = None) -> list[str]:
        """See ``Platform``."""
        units = " ".join(f"-u {quote(unit)}" for unit in ([instance] if instance else self._units))
        after = f" --since=@{since.timestamp():.6f}" if since else ""
        script = f"TZ=UTC journalctl --quiet --no-pager -o short-iso -n {lines}{after} {units}"
        printed = must(self._shell, script, "the journal cannot be read", "May the user that connects read it?")
        return printed.splitlines()


def _time(shown: str) -> datetime | None:
    """A time as systemctl shows it: ``Sat 2026-11-21 18:52:30.123456 UTC``; None for ``n/a`` and nothing."""
    found = re.search(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?) UTC", shown)
    return datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else None


def _first(ran: Ran) -> str:
    """The line that tells what is wrong: those after it send the reader to other commands."""
    return next((line.strip() for line in ran.err.splitlines() if line.strip()), ran.said)
