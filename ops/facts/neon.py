"""Facts about the environment's project on Neon."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from ops import clock
from ops.clouds.neon import Project
from ops.facts.asked import Asked
from ops.operations.neon import on_neon


class NeonBranches(Asked):
    """The branches, by name, the newest first.

    .. code:: python

        {"preview": {"id": "br-…", "parent": "main", "at": "2026-11-21T10:00:00Z", "lsn": "0/1A2B3C4D",
                     "created": "2026-11-21T10:00:05Z", "expires": None, "default": False, "protected": False,
                     "state": "ready"}}
    """

    @override
    def ask(self) -> dict[str, Any]:
        known = Project(on_neon()).branches()
        names = {one.id: one.name for one in known}
        return {
            one.name: {
                "id": one.id,
                "parent": one.parent and names.get(one.parent),
                "at": one.at and clock.iso(one.at),
                "lsn": one.lsn,
                "created": clock.iso(one.created),
                "expires": one.expires and clock.iso(one.expires),
                "default": one.default,
                "protected": one.protected,
                "state": one.state,
            }
            for one in known
        }


class NeonEndpoints(Asked):
    """What the branches run on, by id.

    .. code:: python

        {"ep-…": {"branch": "main", "kind": "read_write", "state": "active", "host": "ep-….aws.neon.tech"}}
    """

    @override
    def ask(self) -> dict[str, Any]:
        project = Project(on_neon())
        names = {one.id: one.name for one in project.branches()}
        return {
            one.id: {"branch": names.get(one.branch), "kind": one.kind, "state": one.state, "host": one.host}
            for one in project.endpoints()
        }


class NeonSnapshots(Asked):
    """The snapshots, by id, the newest first.

    .. code:: python

        {"snap-…": {"name": "before the sale", "branch": "main", "created": "2026-11-21T10:00:00Z", "expires": None}}
    """

    @override
    def ask(self) -> dict[str, Any]:
        project = Project(on_neon())
        names = {one.id: one.name for one in project.branches()}
        return {
            one.id: {
                "name": one.name,
                "branch": one.branch and names.get(one.branch),
                "created": clock.iso(one.created),
                "expires": one.expires and clock.iso(one.expires),
            }
            for one in project.snapshots()
        }
