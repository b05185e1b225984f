"""Whether instances are healthy: asked on their own host, or from here where there is none of ours."""

from __future__ import annotations

import re
from shlex import quote

import requests

from ops.platforms.shell import Shell
from ops.services import OnHosts, Service

TRY = 5
"""Seconds for one try."""

# One line an instance: its number, what was said in words, and the code of an answer.
_ASKING = f"""
set -f
ask() {{
  if command -v curl >/dev/null; then
    said=$(curl -sS --output /dev/null --max-time {TRY} --write-out " answer %{{http_code}}" "$2" 2>&1)
  elif command -v wget >/dev/null; then
    said=$(wget --quiet --tries=1 --timeout={TRY} --output-document=/dev/null "$2" 2>&1) && said="answer 200"
  else said="neither curl nor wget is installed, one of which is needed"; fi
  echo $1 $said
}}
"""


def problem(service: Service, number: int, shell: Shell | None = None) -> str | None:
    """Ask one instance, as ``problems`` does."""
    return problems(service, [number], shell)[0]


def problems(service: Service, numbers: list[int], shell: Shell | None = None) -> list[str | None]:
    """Ask instances once, all at the same time.

    Args:
        service: whose health.
        numbers: of the instances, from 0, for their ports.
        shell: on the instances' host; None: ask from here.

    Returns:
        For each what is wrong, in words; None when it is healthy.

    Raises:
        HostUnreachable: the host did not answer.
    """
    if service.health is None or not numbers:
        return [None] * len(numbers)
    urls = [_url(service, service.health, number) for number in numbers]
    return list(map(_from_here, urls)) if shell is None else _from_host(urls, shell)


def _url(service: Service, url: str, number: int) -> str:
    if isinstance(service, OnHosts) and service.ports:
        return url.replace("{port}", str(service.ports[number % len(service.ports)]))
    return url


def _from_here(url: str) -> str | None:
    try:
        code = requests.get(url, timeout=TRY, allow_redirects=False).status_code
    except requests.exceptions.RequestException as error:
        return f"{url}: {type(error).__name__}"
    return None if code < 400 else f"{url} answers {code}"


def _from_host(urls: list[str], shell: Shell) -> list[str | None]:
    asked = "".join(f"ask {number} {quote(url)} &\n" for number, url in enumerate(urls))
    printed = shell.run(f"{_ASKING}{asked}wait", timeout=TRY + 25).out
    said = dict(re.findall(r"^(\d+) (.+)$", printed, re.MULTILINE))
    return [_read(url, said.get(str(number), "it said nothing")) for number, url in enumerate(urls)]


def _read(url: str, said: str) -> str | None:
    """What came of one question; curl tells the code 000 when there was no answer."""
    why, code = found[0] if (found := re.findall(r"^(.*?) ?answer (\d+)$", said)) else (said, "0")
    if int(code):
        return None if int(code) < 400 else f"{url} answers {code}"
    return f"{url} does not answer: {why or 'it said nothing'}"
