"""Railway's GraphQL API, as far as it is in use."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import graphql
from standins.graph import Refusal, executed, refusal
from standins.server import Answer, Request, StandIn, Violation

SCHEMA = graphql.build_schema("""
scalar DateTime
scalar DeploymentMeta
scalar EnvironmentVariables
enum DeploymentStatus {
  BUILDING CRASHED DEPLOYING FAILED INITIALIZING NEEDS_APPROVAL QUEUED REMOVED REMOVING SKIPPED SLEEPING SUCCESS WAITING
}
enum DeploymentInstanceStatus {
  CRASHED CREATED EXITED INITIALIZING REMOVED REMOVING RESTARTING RUNNING SKIPPED STOPPED
}
input DeploymentStatusInput { in: [DeploymentStatus!] notIn: [DeploymentStatus!] }
input DeploymentListInput {
  environmentId: String includeDeleted: Boolean projectId: String serviceId: String status: DeploymentStatusInput
}
type DeploymentDeploymentInstance { id: String! status: DeploymentInstanceStatus! }
type Deployment {
  id: ID! status: DeploymentStatus! createdAt: DateTime! updatedAt: DateTime! statusUpdatedAt: DateTime
  canRedeploy: Boolean! canRollback: Boolean! deploymentStopped: Boolean! snapshotId: String meta: DeploymentMeta
  environmentId: String! projectId: String! serviceId: String
  instances: [DeploymentDeploymentInstance!]!
}
type PageInfo { hasNextPage: Boolean! endCursor: String }
type QueryDeploymentsConnectionEdge { cursor: String! node: Deployment! }
type QueryDeploymentsConnection { edges: [QueryDeploymentsConnectionEdge!]! pageInfo: PageInfo! }
type Log { message: String! timestamp: String! severity: String }
type Query {
  deployment(id: String!): Deployment!
  deployments(
    after: String before: String first: Int input: DeploymentListInput! last: Int
  ): QueryDeploymentsConnection!
  deploymentLogs(deploymentId: String! startDate: DateTime endDate: DateTime filter: String limit: Int): [Log!]!
  variables(projectId: String! environmentId: String! serviceId: String unrendered: Boolean): EnvironmentVariables!
}
type Mutation {
  deploymentRollback(id: String!): Boolean!
  deploymentRestart(id: String!): Boolean!
  deploymentStop(id: String!): Boolean!
  deploymentRemove(id: String!): Boolean!
  deploymentRedeploy(id: String! usePreviousImageTag: Boolean): Deployment!
}
""")
TAKES = 0.15
"""Seconds for anything that Railway does by itself."""


def stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"


@dataclass
class Deployment:
    """One deployment; its fields are those of the schema or beside it."""

    release: str
    created: datetime
    snapshot: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "SUCCESS"
    replica: str = "RUNNING"
    can_rollback: bool = True
    moved: datetime | None = None

    def __post_init__(self) -> None:
        self.moved = self.moved or self.created

    def becomes(self, status: str, replica: str) -> None:
        self.status, self.replica, self.moved = status, replica, datetime.now(UTC)


class RailwayApi(StandIn):
    """One service with the releases of a stage; what goes on there goes on by itself, after ``TAKES``."""

    project, environment, service = "7d3c", "e1f0", "5a5b"

    def __init__(self, token: str, project_token: bool = False) -> None:
        super().__init__()
        self._token = token
        self._project_token = project_token
        self.breaks = False
        self.fails = False
        self.variables = {"PRESENT": "a value that nobody may show"}
        self.logs: list[tuple[str, str]] = []
        began = datetime.now(UTC) - timedelta(days=30)
        self.deployments: list[Deployment] = []
        for days, release in enumerate(("one", "two", "three")):
            made = Deployment(release, began + timedelta(days=days), f"snapshot-{release}", f"deployment-{release}")
            if release != "three":
                made.status, made.replica = "REMOVED", "REMOVED"
            self.deployments.append(made)
            self._log(f"{release} listens")

    def answer(self, request: Request) -> Answer:
        if request.path != "/graphql/v2":
            raise Violation("no such path", 404)
        headers = request.headers
        given, other = "authorization", "project-access-token"
        expected = f"Bearer {self._token}"
        if self._project_token:
            given, other, expected = other, given, self._token
        if other in headers:
            raise Violation(f"this kind of token does not go into {other}", 400)
        if headers.get(given) != expected:
            return Answer(200, {"errors": [refusal("Not Authorized")], "data": None})
        return executed(SCHEMA, self, request)

    def error(self, said: str) -> Any:
        return {"errors": [refusal(said, "GRAPHQL_VALIDATION_FAILED")]}

    def serves(self) -> Deployment | None:
        """What really runs."""
        with self.lock:
            self.catch_up()
            return next((one for one in reversed(self.deployments) if one.replica == "RUNNING"), None)

    def _log(self, line: str) -> None:
        self.logs.append((stamp(datetime.now(UTC)), line))

    def _found(self, id: str) -> Deployment:
        found = next((one for one in self.deployments if one.id == id), None)
        if found is None:
            raise Refusal("Deployment not found")
        return found

    def _shown(self, one: Deployment) -> dict[str, Any]:
        return {
            "id": one.id,
            "status": one.status,
            "createdAt": stamp(one.created),
            "updatedAt": stamp(one.moved or one.created),
            "statusUpdatedAt": stamp(one.moved or one.created),
            "canRedeploy": True,
            "canRollback": one.can_rollback,
            "deploymentStopped": one.replica != "RUNNING" and one.status not in ("DEPLOYING", "INITIALIZING"),
            "snapshotId": one.snapshot,
            "meta": {"image": f"registry/{one.release}"},
            "environmentId": self.environment,
            "projectId": self.project,
            "serviceId": self.service,
            "instances": [{"id": f"{one.id}-1", "status": one.replica}],
        }

    def deployments_of(self, input: dict[str, Any]) -> list[Deployment]:
        if input.get("projectId") != self.project:
            raise Refusal("Project not found")
        ours = input.get("environmentId") == self.environment and input.get("serviceId") == self.service
        return sorted(self.deployments, key=lambda one: one.created, reverse=True) if ours else []

    def _deploy(self, release: str, snapshot: str) -> Deployment:
        made = Deployment(release, datetime.now(UTC), snapshot, status="INITIALIZING", replica="CREATED")
        self.deployments.append(made)
        self.later(TAKES, lambda: self._up(made))
        return made

    def _up(self, one: Deployment) -> None:
        if one.status == "REMOVED":
            return
        newest = one is max(self.deployments, key=lambda each: each.created)
        if not newest:
            one.becomes("REMOVED", "REMOVED")
            return
        if self.fails:
            one.becomes("FAILED", "REMOVED")
            return
        for other in self.deployments:
            if other is not one and other.status in ("SUCCESS", "CRASHED", "SLEEPING"):
                other.becomes("REMOVED", "REMOVED")
        one.becomes("SUCCESS", "RUNNING")
        self._log(f"{one.release} listens")
        if self.breaks:
            self.later(0.4, lambda: self.crash(one))

    def crash(self, one: Deployment) -> None:
        """Let it end by itself, for good."""
        one.becomes("CRASHED", "CRASHED")
        self._log(f"{one.release} broke")

    def query_deployments(self, info: Any, input: dict[str, Any], first: int = 10, **_: Any) -> dict[str, Any]:
        edges = [{"cursor": one.id, "node": self._shown(one)} for one in self.deployments_of(input)[:first]]
        return {"edges": edges, "pageInfo": {"hasNextPage": False, "endCursor": None}}

    def deployment(self, info: Any, id: str) -> dict[str, Any]:
        return self._shown(self._found(id))

    def query_logs(self, info: Any, deploymentId: str, limit: int = 100, startDate: str = "", **_: Any) -> Any:
        self._found(deploymentId)
        since = datetime.fromisoformat(startDate) if startDate else datetime.min.replace(tzinfo=UTC)
        lines = [(time, line) for time, line in self.logs if datetime.fromisoformat(time) >= since]
        return [{"timestamp": time, "message": line, "severity": "info"} for time, line in lines[-limit:]]

    def query_variables(
        self,
        info: Any,
        projectId: str,
        environmentId: str,
        serviceId: str | None = None,
        unrendered: bool = False,
    ) -> dict[str, str]:
        if (projectId, environmentId, serviceId) != (self.project, self.environment, self.service):
            raise Refusal("Service not found")
        return dict(self.variables)

    def deploymentRollback(self, info: Any, id: str) -> bool:
        target = self._found(id)
        if not target.can_rollback:
            raise Violation("deploymentRollback of a deployment whose canRollback is false")
        self._deploy(target.release, target.snapshot)
        return True

    def deploymentRestart(self, info: Any, id: str) -> bool:
        target = self._found(id)
        if target.status not in ("SUCCESS", "CRASHED"):
            raise Refusal("Deployment cannot be restarted")
        self.later(TAKES / 2, lambda: target.becomes("DEPLOYING", "RESTARTING"))
        self.later(TAKES, lambda: self._up(target))
        return True

    def deploymentStop(self, info: Any, id: str) -> bool:
        target = self._found(id)
        self.later(TAKES, lambda: target.becomes("SUCCESS", "STOPPED"))
        return True

    def deploymentRedeploy(self, info: Any, id: str, usePreviousImageTag: bool = False) -> dict[str, Any]:
        # It takes today's variables, so it is a snapshot of its own.
        return self._shown(self._deploy(self._found(id).release, str(uuid.uuid4())))


SCHEMA.query_type.fields["deployments"].resolve = lambda root, info, **given: root.query_deployments(info, **given)  # type: ignore[union-attr]
SCHEMA.query_type.fields["variables"].resolve = lambda root, info, **given: root.query_variables(info, **given)  # type: ignore[union-attr]
SCHEMA.query_type.fields["deploymentLogs"].resolve = lambda root, info, **given: root.query_logs(info, **given)  # type: ignore[union-attr]
