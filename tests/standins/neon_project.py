"""The project behind the stand-in of Neon's API: branches with their databases, computes and histories."""

from __future__ import annotations

import secrets
import threading
import uuid
from datetime import UTC, datetime, timedelta

from standins.neon_compute import Compute
from standins.neon_records import Branch, Endpoint, Moment, seconds
from standins.neon_storage import Storage
from standins.server import Answer

from ops.sandbox.postgres import PostgresServer

LONGEST = timedelta(days=30)
"""How far away a branch's expiry may be."""


class Refused(Exception):
    """What Neon refuses within its contract."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.answer = Answer(status, error(said))


class State:
    """A project with the branch ``main``, whose compute is active.

    Args:
        server: a running server.
        database: the database that ``main`` is.
        role: who owns it.
        lock: under which all that changes happens.
    """

    def __init__(self, server: PostgresServer, database: str, role: str, lock: threading.Condition) -> None:
        self._server, self._database, self._lock = server, database, lock
        self.storage = Storage(server, database, role)
        self.branches: dict[str, Branch] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.ahead = timedelta()
        self.equip(self.add(Branch(new_id("br"), "main", database, self.now(), default=True)))

    def now(self) -> datetime:
        """The time in the project."""
        return datetime.now(UTC) + self.ahead

    def named(self, name: str) -> Branch:
        """The branch of this name."""
        (found,) = [each for each in self.branches.values() if each.name == name]
        return found

    def known(self, id: str | None) -> Branch:
        """The branch of this id; None: the default branch."""
        id = id or next(each.id for each in self.branches.values() if each.default)
        if id not in self.branches:
            raise Refused(404, "branch not found")
        return self.branches[id]

    def unused(self, name: str) -> None:
        """Refuse a name that there is."""
        if any(each.name == name for each in self.branches.values()):
            raise Refused(409, f"branch with the name {name} already exists")

    def children(self, branch: Branch) -> list[Branch]:
        return [each for each in self.branches.values() if each.parent == branch.id]

    def computes(self, branch: str | None) -> list[Endpoint]:
        """Those of a branch; None: all."""
        return [each for each in self.endpoints.values() if branch in (None, each.branch)]

    def add(self, branch: Branch) -> Branch:
        self.branches[branch.id] = branch
        return branch

    def fill(self, branch: Branch, parent: Branch, moment: Moment | None) -> None:
        """Give a new branch its content."""
        self.storage.copy(moment.database if moment else parent.database, branch.database)
        branch.state = "ready"
        if moment is None:
            # So that the parent can go back to this moment too.
            assert branch.time and branch.lsn
            parent.history.append(Moment(branch.time, branch.lsn, self._copied(branch.database)))

    def equip(self, branch: Branch) -> Endpoint:
        """Give a branch a compute."""
        id = new_id("ep")
        compute = Compute(self._server.port, lambda: self._woken(id))
        endpoint = self.endpoints[id] = Endpoint(id, branch.id, compute, self.now())
        return endpoint

    def remove(self, branch: Branch) -> None:
        """Let a branch and its compute be gone."""
        for endpoint in self.computes(branch.id):
            endpoint.compute.close()
            del self.endpoints[endpoint.id]
        del self.branches[branch.id]
        self.storage.drop(branch.database)

    def replace(self, branch: Branch, source: Branch, moment: Moment | None, keep: str | None) -> None:
        """Give a branch other content, under its own name and at its own address."""
        fresh = self._copied(moment.database if moment else source.database)
        for endpoint in self.computes(branch.id):
            endpoint.compute.cut()
        own, parent = source is branch, source.id
        if keep:
            kept = self._keep(branch, keep)
            kept.kept = own and branch.parent is None
            parent = kept.id if own else parent
        else:
            self.storage.drop(branch.database)
        self.storage.rename(fresh, branch.database)
        # A root that goes back in its own history stays one; otherwise the source becomes the parent.
        branch.parent = None if own and branch.parent is None else parent
        branch.lsn, branch.time = (moment.lsn, moment.time) if moment else (self.storage.lsn(), self.now())
        branch.reset = self.now()
        if branch.lifetime:
            branch.expires = seconds(self.now() + branch.lifetime)

    def expire(self) -> None:
        """Let the branches be gone that are past their expiry."""
        for branch in list(self.branches.values()):
            if branch.expires and branch.expires <= self.now():
                self.remove(branch)

    def set_expiry(self, branch: Branch, expires: datetime | None) -> None:
        """Let a branch expire, if it may."""
        if expires and not self.now() < expires <= self.now() + LONGEST:
            raise Refused(422, "expires_at must be in the future, and at most 30 days away")
        if expires and (branch.protected or branch.default or self.children(branch)):
            raise Refused(422, "protected branches, the default branch and parents cannot have an expiration time")
        branch.expires = expires and seconds(expires)
        branch.lifetime = expires and expires - self.now()

    def moment(self, branch: Branch, lsn: str | None, told: str | None) -> Moment | None:
        """The newest remembered moment that is not newer than what was asked for; None: now."""
        if lsn and told:
            raise Refused(400, "an LSN and a timestamp exclude each other")
        if not lsn and not told:
            return None
        if told:
            if (at := datetime.fromisoformat(told)) > self.now():
                raise Refused(400, "the timestamp is in the future")
            found = [each for each in branch.history if each.time <= at]
        else:
            found = [each for each in branch.history if self.storage.before(each.lsn, lsn)]
        if not found:
            raise Refused(400, "the point in time is outside of the restore window")
        return max(found, key=lambda each: each.time)

    def remember(self, branch: Branch) -> Moment:
        """Let there be a moment in its history that can be gone back to: now."""
        now = self.now()
        exact = now.replace(microsecond=now.microsecond // 1000 * 1000)
        moment = Moment(exact, self.storage.lsn(), self._copied(branch.database))
        branch.history.append(moment)
        return moment

    def close(self) -> None:
        """Leave the real server as it was."""
        for endpoint in self.endpoints.values():
            endpoint.compute.close()
        self.storage.drop_all()

    def _keep(self, branch: Branch, name: str) -> Branch:
        """Let what a branch was until now be a branch of its own, to which the children belong."""
        kept = Branch(new_id("br"), name, self.storage.name(), branch.created, branch.parent, branch.lsn, branch.time)
        kept.history = list(branch.history)
        for child in self.children(branch):
            child.parent = kept.id
        self.storage.rename(branch.database, kept.database)
        return self.add(kept)

    def _copied(self, database: str) -> str:
        name = self.storage.name()
        self.storage.copy(database, name)
        return name

    def _woken(self, id: str) -> dict[str, str]:
        """Somebody connects: the compute starts when it is idle."""
        with self._lock:
            endpoint = self.endpoints.get(id)
            if endpoint is None:
                raise ConnectionError("the endpoint is gone")
            if endpoint.state == "idle":
                endpoint.state, endpoint.starts = "active", endpoint.starts + 1
            return {self._database: self.branches[endpoint.branch].database}


def error(said: str) -> dict[str, str]:
    """The body of a refusal."""
    return {"request_id": str(uuid.uuid4()), "code": "", "message": said}


def new_id(kind: str) -> str:
    return f"{kind}-still-wave-{secrets.token_hex(4)}"
