"""Releases as directories behind a link: ``releases/<id>`` and ``current``, as Capistrano laid them out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from shlex import quote

from ops.errors import ReleaseMissing, ServiceError
from ops.platforms.base import Release
from ops.platforms.shell import Shell, must, to_the_end

_LEDGER = "served.log"
"""Lines of time and release, in order: what was activated here, and when."""


@dataclass(frozen=True)
class Known:
    """What is there.

    Args:
        releases: the one that is to serve first, then by when they served, then by when they were made.
        current: the one that is to serve; None when there is no link yet.
    """

    releases: list[Release]
    current: Release | None


class Directories:
    """The releases of one service on one host.

    Args:
        shell: on that host.
        base: the directory that holds ``releases`` and ``current``.
    """

    def __init__(self, shell: Shell, base: str) -> None:
        self._shell = shell
        self.base = base.rstrip("/")

    def script(self) -> str:
        """Prints what serves, what served and what is there: for ``read``, beside a platform's own questions."""
        base = quote(self.base)
        return (
            f"cd {base} && printf 'base %s\\n' \"$(pwd -P)\" && "
            'printf "current %s %s\\n" "$(stat -c %Y current 2>/dev/null || echo 0)" "$(readlink current || echo -)"; '
            f"[ ! -f {_LEDGER} ] || sed 's/^/served /' {_LEDGER}; "
            'for each in releases/*/; do [ -d "$each" ] && stat -c \'there %Y %n\' "$each"; done; true'
        )

    def ask(self) -> Known:
        """The releases."""
        return self.read(must(self._shell, self.script(), f"the releases in {self.base} cannot be read",
                              "Look at releases= in the inventory"))  # fmt: skip

    def read(self, printed: str) -> Known:
        """The answer of ``script``."""
        current, current_since = None, 0
        served: dict[str, datetime] = {}
        there: dict[str, int] = {}
        for line in printed.splitlines():
            match line.split(" ", 2):
                case ["current", since, link] if link != "-":
                    current, current_since = link.rstrip("/").rpartition("/")[2], int(since)
                case ["served", time, id]:
                    served[id] = _time(time)
                case ["there", made, path]:
                    there[path.rstrip("/").rpartition("/")[2]] = int(made)
        serves = None
        if current is not None and current in there:
            serves = Release(current, served.get(current) or datetime.fromtimestamp(current_since, UTC))
        others = [id for id in there if id != current]
        began = datetime.min.replace(tzinfo=UTC)
        others.sort(key=lambda id: (served.get(id, began), there[id]), reverse=True)
        rest = [Release(id, served.get(id)) for id in others]
        return Known([serves, *rest] if serves else rest, serves)

    def activate(self, release: str) -> bool:
        """Point ``current`` at another release, by one rename; whether that was a change.

        Raises:
            ReleaseMissing: it is not there.
        """
        known = self.ask()
        ids = [one.id for one in known.releases]
        if release not in ids:
            raise ReleaseMissing.among(f"{self.base} on {self._shell.host}", release, ids)
        serving = known.current
        if serving and serving.id == release:
            return False
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        # What served before is written down too: it may have been put there by hand.
        before = f"{serving.served:%Y-%m-%dT%H:%M:%SZ} {serving.id}" if serving and serving.served else ""
        lines = "".join(
            f"grep -qxF {quote(line)} {_LEDGER} || echo {quote(line)} >> {_LEDGER}\n"
            for line in (before, f"{now} {release}")
            if line
        )
        must(
            self._shell,
            to_the_end(
                f"set -e\ncd {quote(self.base)}\n: >> {_LEDGER}\n"
                f"ln -sfn {quote(f'releases/{release}')} current.new.$$\n"
                f"mv -T current.new.$$ current || {{ rm -f current.new.$$; exit 1; }}\n{lines}"
            ),
            f"{self.base}/current cannot be changed",
            "Give the user that connects the right to write there",
        )
        return True


def holding(printed: str, directory: str) -> str | None:
    """The release that a directory lies in, such as the one that a process works in.

    Args:
        printed: by ``Directories.script``, which follows the links that lead to the base, as the kernel does.
        directory: an absolute path without links.

    Returns:
        Its id; None when the directory is in none.
    """
    base = re.search(r"^base (.+)$", printed, re.MULTILINE)
    _, below, rest = directory.partition(f"{base[1]}/releases/") if base else ("", "", "")
    return rest.split("/")[0] if below else None


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ServiceError(
            f"{_LEDGER} has a line that begins with no time: {text}", "Mend or remove that line"
        ) from None
