"""A job as systemd has it: a service that is shut off from all it does not need, and a timer."""

from __future__ import annotations

import json

from ops.clock import duration
from ops.schedule import Job
from ops.site import Site

BUSY = 75
"""Exit code of ``flock`` when the last run is not over yet."""
_WAIT = 5
"""Seconds that it is waited for: who tells of a failure holds the lock for a moment, too."""
ENDED = ".ended.service"
"""What the name of a unit that tells of an end ends with. No job's name has a dot in it."""

# Not among these, because deploys need it: memory that is written and executed (Node, which Prisma runs on), the
# network, /proc/sys (who holds a lock is told by the boot's id), and homes (the keys for other hosts).
_HARDENING = """\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
KeyringMode=private
UMask=0077
"""


def service(site: Site, job: Job) -> str:
    """The service of a job."""
    # A run that was killed has told nobody. By ExecStopPost= it could not be told: that sees no credentials.
    return _service(site, job, site.command(job), [f"OnFailure={site.unit(job)}{ENDED}"])


def ended(site: Site, job: Job) -> str:
    """The service that tells of a run that was killed. While another holds the lock there was none."""
    return _service(site, job, site.command(job, "--ended"), [])


def _service(site: Site, job: Job, command: list[str], more: list[str]) -> str:
    lock = ["/usr/bin/flock", "--timeout", str(_WAIT), "--no-fork", "--conflict-exit-code", str(BUSY), site.lock(job)]
    lines = [
        site.headline(),
        "[Unit]",
        f"Description={site.environment}: {job.name} ({job.deploy})",
        "Wants=network-online.target",
        "After=network-online.target",
        *more,
        "",
        "[Service]",
        "Type=oneshot",
        f"User={site.user}",
        f"SyslogIdentifier={site.unit(job)}",
        f"WorkingDirectory={site.project.replace('%', '%%')}",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in site.variables().items()),
        # One that is gone is no reason not to begin: who needs it says so, and somebody hears of it.
        *(f"LoadCredential={name}:{site.secrets_directory}/{name}" for name in site.secrets),
        *(rf"SetCredential={name}:\n" for name in site.secrets),
        f"StateDirectory=pyinfra-ops/{site.environment}",
        "StateDirectoryMode=0700",
        f"ExecStart={_words([*lock, *command])}",
        f"SuccessExitStatus={BUSY}",
        f"TimeoutStartSec={site.patience(job)}",
        "TimeoutStopSec=90",
        # The job ends its deploy by itself, and tells of it; what is left after that is killed.
        "KillMode=mixed",
        f"Nice={job.nice}",
        f"IOSchedulingClass={job.io}",
        "IOSchedulingPriority=7",
        "",
        # Root without it could not write to what belongs to others.
        f"CapabilityBoundingSet={'CAP_DAC_OVERRIDE' if site.user == 'root' else ''}",
        *(f"ReadWritePaths={_quoted(f'-{path}')}" for path in (*site.writes, site.locks)),
        _HARDENING,
    ]
    return "\n".join(lines)


def timer(site: Site, job: Job) -> str:
    """The timer of a job. A run that was missed, because the machine was down, is caught up."""
    lines = [
        site.headline(),
        "[Unit]",
        f"Description={site.environment}: when {job.name} runs",
        "",
        "[Timer]",
        f"OnCalendar={job.calendar}",
        "Persistent=true",
        f"RandomizedDelaySec={round(duration(job.delay))}",
        "AccuracySec=1s",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return "\n".join(lines) + "\n"


def _words(words: list[str]) -> str:
    """A command line as systemd reads it, where nothing is a variable."""
    return " ".join(_quoted(word).replace("$", "$$") for word in words)


def _quoted(word: str) -> str:
    """A word as systemd reads it: quoted as C does, where nothing is a specifier."""
    return json.dumps(word, ensure_ascii=False).replace("%", "%%")
