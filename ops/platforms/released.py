"""What the platforms on a host have in common whose releases are directories behind a link."""

from __future__ import annotations

from abc import abstractmethod

from ops.errors import ServiceError
from ops.platforms import settings
from ops.platforms.base import Instance, Platform, Release, Status
from ops.platforms.directories import Directories
from ops.platforms.shell import Shell
from ops.services import Pm2, Supervisor, Systemd


class ReleasedPlatform(Platform):
    """A service on one host, with releases as directories, or with none.

    Args:
        service: its description.
        shell: on the host.
    """

    def __init__(self, service: Systemd | Supervisor | Pm2, shell: Shell) -> None:
        self._service = service
        self._shell = shell
        self._directories = Directories(shell, service.releases) if service.releases else None

    @abstractmethod
    def _ask(self) -> tuple[tuple[Instance, ...], str]:
        """The instances, and all that was printed when they and ``_releases_script`` were asked for."""

    def _releases_script(self) -> str:
        """Asks for the releases beside a platform's own questions."""
        return f"( {self._directories.script()} )\n" if self._directories else ""

    def status(self) -> Status:
        """See ``Platform``."""
        return self.overview()[0]

    def overview(self) -> tuple[Status, list[Release]]:
        """See ``Platform``."""
        instances, printed = self._ask()
        if self._directories is None:
            return Status(instances), []
        known = self._directories.read(printed)
        current = known.current
        status = Status(instances, current.id, current.served) if current else Status(instances)
        return status, known.releases

    def releases(self) -> list[Release]:
        """See ``Platform``."""
        return self._directories.ask().releases if self._directories else []

    def activate(self, release: str) -> bool:
        """See ``Platform``."""
        if self._directories is None:
            raise ServiceError(f"{self._service.name} has no releases", "Write releases=… in the inventory")
        return self._directories.activate(release)

    def missing(self, names: list[str]) -> list[str]:
        """See ``Platform``."""
        return settings.missing(self._shell, self._service, names)
