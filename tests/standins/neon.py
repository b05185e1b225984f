"""Neon's API, version 2: one project, in which every branch is a real database on a real PostgreSQL.

with NeonApi(server, "shop", "shop_owner", password) as neon:
    described = neon.described()  # on the branch main, which is the database shop itself
    neon.remember("main")  # a moment that can be restored and branched from
    neon.fail("POST", "/restore", 423)
    neon.operations_fail("create_branch")
    …
assert not neon.violations
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from standins.neon_contract import contract
from standins.neon_operations import Operations
from standins.neon_paths import Paths
from standins.neon_project import State, error
from standins.neon_records import Branch, Endpoint, Moment
from standins.server import Answer, Fault, Request, StandIn, Violation

from ops.database import Neon
from ops.sandbox.postgres import PostgresServer
from ops.secrets import Secret


@dataclass(frozen=True)
class Disturbance(Fault):
    """What the next request of a method gets in whose path ``on`` is found, a regular expression."""

    method: str = ""
    cut: bool = False
    """No answer: the connection breaks."""


class NeonApi(StandIn):
    """A project with the branch ``main``, whose compute is active.

    Args:
        server: a running server.
        database: the database that ``main`` is.
        role: who owns it.
        password: the role's.
    """

    def __init__(self, server: PostgresServer, database: str, role: str, password: str) -> None:
        self._contract = contract()
        super().__init__()
        self.project, self.api_key = f"quiet-sun-{secrets.randbelow(10**6):06}", f"napi_{secrets.token_hex(16)}"
        self.database, self.role, self._password = database, role, password
        self.state = State(server, database, role, self.lock)
        self.branches, self.endpoints = self.state.branches, self.state.endpoints
        self._operations = Operations(self.project)
        self.paths = Paths(self.project, self.state, self._operations, self._uri, (database, role))
        self._disturbances: list[Disturbance] = []

    # What tests ask and order.

    @property
    def api(self) -> str:
        """The base URL."""
        return f"{self.url}/api/v2"

    @property
    def looks(self) -> int:
        """How often the operations of a write are looked at before they are finished."""
        return self._operations.looks

    @looks.setter
    def looks(self, times: int) -> None:
        self._operations.looks = times

    def described(self, **more: Any) -> Neon:
        """The database as an environment describes it."""
        key = Secret("NEON_API_KEY", lambda: self.api_key)
        words = {"project": self.project, "database": self.database, "role": self.role, "api_key": key}
        return Neon(**{**words, "api": self.api, "sslmode": "disable", **more})

    def branch(self, name: str) -> Branch:
        """The branch of this name."""
        return self.state.named(name)

    def names(self) -> set[str]:
        """Those of the branches."""
        return {each.name for each in self.branches.values()}

    def endpoint(self, name: str) -> Endpoint:
        """That of the branch of this name."""
        (found,) = self.state.computes(self.branch(name).id)
        return found

    def connection_url(self, name: str) -> str:
        """What an application connects to."""
        return self._uri(self.endpoint(name)).replace("sslmode=require", "sslmode=disable")

    def remember(self, name: str) -> Moment:
        """Let there be a moment in a branch's history that can be gone back to: now."""
        with self.lock:
            return self.state.remember(self.branch(name))

    def now(self) -> datetime:
        """The time in the project."""
        return self.state.now()

    def pass_time(self, span: timedelta) -> None:
        """Let time pass in the project."""
        self.state.ahead += span

    def slow(self, seconds: float) -> None:
        """Let the operations of every write take so long, in which its branch is locked."""
        self._operations.slow = seconds

    def operations_fail(self, action: str, status: str = "failed") -> None:
        """Let the next operation of an action end otherwise; only with ``skipped`` does the write have its effect."""
        self._operations.failing.append((action, status))

    def fail(self, method: str, path: str, status: int, times: int = 1, headers: dict[str, str] | None = None,
             body: Any = None, carried_out: bool = False) -> None:  # fmt: skip
        """Answer the next requests of a method, in whose path an expression is found, with a status."""
        body = error(f"told to answer {status}") if body is None else body
        told = Disturbance(status, body, headers or {}, on=path, method=method, carried_out=carried_out)
        self._disturbances += [told] * times

    def cut(self, method: str, path: str, times: int = 1, carried_out: bool = True) -> None:
        """Break the connection where the next answers would come."""
        self._disturbances += [Disturbance(on=path, method=method, cut=True, carried_out=carried_out)] * times

    def calm(self) -> None:
        """Let nothing happen any more that was ordered."""
        self.faults.clear()
        self._disturbances.clear()
        self._operations.failing.clear()
        self._operations.slow, self._operations.looks, self.paths.repeats_cursor = 0.0, 1, False

    def begun(self, action: str) -> int:
        """How often an operation of an action was begun."""
        return self._operations.begun(action)

    def asked(self, method: str, path: str = "") -> list[Request]:
        """The requests of a method in whose path an expression is found."""
        return [each for each in self.requests if each.method == method and re.search(path, each.path)]

    # How it answers.

    def respond(self, request: Request) -> Answer:
        with self.lock:
            told = next((d for d in self._disturbances if d.method == request.method and re.search(d.on, request.path)),
                        None)  # fmt: skip
            if told is not None:
                self._disturbances.remove(told)
            if told is not None and not told.carried_out:
                self.requests.append(request)
        answer = told if told is not None and not told.carried_out else super().respond(request)
        if told is not None and told.cut:
            raise ConnectionAbortedError
        answer = told or answer
        if wrong := self._contract.broken_by_answer(request, answer):
            self.violations.append(f"{request} was answered {answer.status}: {wrong}")
        return answer

    def error(self, said: str) -> Any:
        return error(said)

    def answer(self, request: Request) -> Answer:
        if request.headers.get("authorization") != f"Bearer {self.api_key}":
            return Answer(401, error("authentication failed"))
        if wrong := self._contract.broken_by(request):
            raise Violation(wrong)
        return self.paths.answer(request)

    def _uri(self, endpoint: Endpoint, pooled: bool = False) -> str:
        return endpoint.uri(self.role, self._password, self.database, pooled)

    def __exit__(self, *reason: object) -> None:
        super().__exit__(*reason)
        self.state.close()
