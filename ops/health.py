"""Whether an instance is healthy: asked on its own host, or from here where there is none of ours."""

from __future__ import annotations

from shlex import quote

import requests

from ops.platforms.shell import Shell
from ops.services import OnHosts, Service

TRY = 5
"""Seconds for one try."""


def problem(service: Service, number: int, shell: Shell | None = None) -> str | None:
    """Ask once.

    Args:
        service: whose health.
        number: of the instance, from 0, for its port.
        shell: on the instance's host; None: ask from here.

    Returns:
        What is wrong, in words; None when it is healthy.

    Raises:
        HostUnreachable: the host did not answer.
    """
    if service.health is None:
        return None
    url = service.health
    if isinstance(service, OnHosts) and service.ports:
        url = url.replace("{port}", str(service.ports[number % len(service.ports)]))
    return _from_here(url) if shell is None else _from_host(url, shell)


def _from_here(url: str) -> str | None:
    try:
        code = requests.get(url, timeout=TRY, allow_redirects=False).status_code
    except requests.exceptions.RequestException as error:
        return f"{url}: {type(error).__name__}"
    return None if code < 400 else f"{url} answers {code}"


def _from_host(url: str, shell: Shell) -> str | None:
    ran = shell.run(
        "if command -v curl >/dev/null; then "
        f"curl --silent --show-error --output /dev/null --max-time {TRY} --write-out '%{{http_code}}\\n' {quote(url)}; "
        "elif command -v wget >/dev/null; then "
        f"wget --quiet --tries=1 --timeout={TRY} --output-document=/dev/null {quote(url)} && echo 200; "
        "else echo neither curl nor wget is installed, one of which is needed; exit 9; fi",
        timeout=TRY + 25,
    )
    answered = ran.out.strip()
    if ran.code == 0 and answered.isdigit():
        return None if int(answered) < 400 else f"{url} answers {answered}"
    if ran.code == 9:
        return ran.said
    return f"{url} does not answer: {(ran.err.strip() or f'exit code {ran.code}').splitlines()[-1]}"
