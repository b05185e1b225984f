"""Which settings a service is given by the file on its host: names only, no value leaves the host."""

from __future__ import annotations

import re
from collections.abc import Sequence
from shlex import quote

from ops.platforms.shell import Shell, must
from ops.services import OnHosts

_SET = r"""s/^[[:space:]]*(export[[:space:]]+)?([A-Za-z_][A-Za-z0-9_]*)=("[^"]|'[^']|[^"'[:space:]#]).*$/\2/p"""


def missing(shell: Shell, service: OnHosts, names: list[str]) -> list[str]:
    """Those of the names that the service's ``env_file`` does not set, or sets to nothing.

    Args:
        shell: on the host.
        service: names the file.
        names: to look for.

    Raises:
        ServiceError: the file cannot be read.
    """
    if not names or service.env_file is None:
        return []
    printed = must(
        shell, script(service.env_file), f"{service.env_file} cannot be read", "Look at env_file= in the inventory"
    )
    return unset(printed, names)


def script(file: str) -> str:
    """Prints, for ``unset``, what stands before the = in a file, and only where something stands behind it."""
    return f"sed -nE {quote(_SET)} {quote(file)}"


def unset(printed: str, names: Sequence[str]) -> list[str]:
    """Those of the names that are not among those printed."""
    there = set(re.findall(r"^\w+$", printed, re.MULTILINE))
    return [name for name in names if name not in there]
