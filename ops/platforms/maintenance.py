"""Maintenance mode of nginx: 503 for everything but the health path, by a file that it looks for."""

from __future__ import annotations

import re
from datetime import timedelta
from shlex import quote
from urllib.parse import urlsplit

from ops.errors import ServiceError
from ops.platforms.nginx import NginxPlatform
from ops.platforms.shell import Shell, must
from ops.services import Nginx

_SLACK = timedelta(seconds=1)
"""Linux tells when it was booted, and so when a process began, to the second."""

# Not by error_page: one in a server block makes nginx forget all those of the levels above.
_INCLUDE = """\
# Written by ops; what is changed here is lost. While the file "on" lies beside this one, all of this server but its
# health path answers 503. With open_file_cache, switching it off takes up to open_file_cache_valid.
set $ops_maintenance "";
if (-f "{directory}/on") {{ set $ops_maintenance on; }}
{health}if ($ops_maintenance) {{ rewrite ^ /.ops-maintenance last; }}
location = /.ops-maintenance {{
    internal;
    default_type "text/html; charset=utf-8";
    add_header Retry-After {after} always;
    add_header Cache-Control no-store always;
    return 503 "{page}";
}}
"""
_PAGE = (
    "<!doctype html><html lang='en'><title>Maintenance</title>"
    "<h1>Maintenance</h1><p>We are working on this service. Please come back in a few minutes.</p></html>"
)


def mode(shell: Shell, description: Nginx) -> bool:
    """Whether maintenance is on.

    Args:
        shell: on the host.
        description: of the nginx there.
    """
    on = quote(f"{description.maintenance}/on")
    printed = must(shell, f"if [ -f {on} ]; then echo on; else echo off; fi", f"{on} cannot be looked for")
    return printed.strip() == "on"


def turn(shell: Shell, description: Nginx, on: bool) -> bool:
    """Turn maintenance on or off, by one rename and without a reload; whether that was a change.

    Raises:
        ServiceError: nginx does not look for the file; what must be done once for that is said.
    """
    if on:
        prepare(shell, description)
    wanted, other = ("on", "off") if on else ("off", "on")
    # Without either file there is nothing to rename on the way on, and nothing to do on the way off.
    begin = "[ -f off ] || : > off; " if on else ""
    printed = must(
        shell,
        f"cd {quote(description.maintenance)} 2>/dev/null || {{ echo same; exit 0; }}\n"
        f"if {'' if on else '! '}[ -f on ]; then echo same; else {begin}mv {other} {wanted} && echo changed; fi",
        f"maintenance cannot be turned {wanted}",
        f"Give the user that connects the right to write in {description.maintenance}",
    )
    return printed.strip() == "changed"


def prepare(shell: Shell, description: Nginx) -> None:
    """Write what is to be included, and see that nginx includes it and knows that it does.

    Raises:
        ServiceError: it does not; what must be done once is said.
    """
    include = f"{description.maintenance}/server.conf"
    text = _text(description)
    # The workers, who are somebody else, must get through.
    must(
        shell,
        f"umask 022; mkdir -p {quote(description.maintenance)} && cd {quote(description.maintenance)} || exit 1\n"
        f"printf %s {quote(text)} > server.conf.new || exit 1\n"
        "cmp -s server.conf.new server.conf || mv server.conf.new server.conf || exit 1\nrm -f server.conf.new",
        f"{include} cannot be written",
        "Give the user that connects the right to write there",
    )
    files = _including(shell, description, include)
    if include not in files:
        raise ServiceError(
            f"{shell.host}: nginx does not include {include}, which was written for it",
            f"Put this line first into the server block: include {include}; Then reload nginx, and try again",
        )
    names = " ".join(map(quote, files))
    changed: dict[str, int] = {}
    for line in must(shell, f"stat -c '%Y %n' {names}", f"{names} cannot be looked at").splitlines():
        time, _, name = line.partition(" ")
        changed[name] = int(time)
    (nginx,) = NginxPlatform(description, shell).status().instances
    if nginx.since is None:
        return
    latest = max(changed, key=lambda name: changed[name])
    if changed[latest] > (nginx.since + _SLACK).timestamp():
        raise ServiceError(
            f"{shell.host}: {latest} was changed after nginx last read it, so maintenance might not show",
            f"Reload nginx ({description.command} -s reload), then try again",
        )


def _including(shell: Shell, description: Nginx, include: str) -> set[str]:
    """The files that have the line, and the included one itself if nginx reads it; found in what it does read."""
    # Only names and include lines are printed: a configuration may hold passwords.
    script = (
        f"dump=$({quote(description.command)} -T -c {quote(description.configuration)} 2>&1) || "
        "{ echo \"$dump\" | grep -F '[emerg]' >&2; exit 1; }\n"
        'echo "$dump" | '
        "sed -nE '/^# configuration file .*:$/p; s/^(.*[;{}])?[[:space:]]*(include[[:space:]].*)$/\\2/p'"
    )
    printed = must(shell, script, "nginx cannot read its configuration", f"Mend {description.configuration}")
    files: set[str] = set()
    file = ""
    for line in printed.splitlines():
        if found := re.fullmatch(r"# configuration file (.*):", line):
            file = found[1]
        if file == include or re.match(rf"""include\s+["']?{re.escape(include)}["']?\s*;""", line):
            files.add(file)
    return files


def _text(description: Nginx) -> str:
    path = urlsplit(description.health).path or "/" if description.health else None
    escaped = re.sub(r'(["\\])', r"\\\1", path) if path else ""
    health = f'if ($uri = "{escaped}") {{ set $ops_maintenance ""; }}\n' if path else ""
    return _INCLUDE.format(directory=description.maintenance, health=health, after=description.retry_after, page=_PAGE)
