"""Google Cloud Run, by its API v2. A service is one instance here: its containers come and go as Google likes."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from datetime import UTC, datetime
from typing import Any

from ops.clouds import google
from ops.clouds.api import Api, ApiError
from ops.errors import ReleaseMissing, ServiceError, ServiceUnhealthy
from ops.platforms.base import Instance, Release, State, Status
from ops.platforms.cloud import CloudPlatform
from ops.platforms.revisions import PINNED, Entry, Revisions, failed, noted, serves, short
from ops.services import CloudRun

LONGEST = 600.0
"""Seconds for a change to be carried out: Cloud Run gives a container four minutes to start."""
PAUSE = 0.5
"""Seconds between two looks."""
LINES = 20
"""Of the log, shown of a revision that does not start."""
SCALING = "pyinfra-ops/scaling"
_TEMPLATE = {
    "ambientNetworking", "annotations", "containers", "encryptionKey", "encryptionKeyRevocationAction",
    "encryptionKeyShutdownDuration", "executionEnvironment", "gpuZonalRedundancyDisabled", "labels",
    "maxInstanceRequestConcurrency", "nodeSelector", "sandboxes", "scaling", "serviceAccount", "serviceMesh",
    "sessionAffinity", "timeout", "volumes", "vpcAccess", "workloadIdentityConfig",
}  # fmt: skip
"""What a revision has in common with the template it was made from."""
_log = logging.getLogger(__name__)


class CloudRunPlatform(CloudPlatform):
    """A service on Cloud Run; its revisions are its releases, and what a restart makes is the same release.

    When a release served is known of what was switched by this project; see ``ops.platforms.revisions``.

    Args:
        service: its description.
    """

    cloud = "Cloud Run"

    def __init__(self, service: CloudRun) -> None:
        self._service = service
        self._name = service.service or service.name
        token = service.token or google.default_credentials()
        self._api = Api("Cloud Run", service.api, token)
        self._logging = Api("Cloud Logging", service.logging, token)
        self._path = f"projects/{service.project}/locations/{service.region}/services/{self._name}"

    def status(self) -> Status:
        """See ``Platform``."""
        service = self._api.ask("GET", self._path)
        serving, _ = serves(service)
        if serving is None:
            state = State.STARTING if service.get("reconciling") else State.FAILED
            return Status((Instance(self._name, _halted(service) or state),))
        revision = self._revision(serving)
        known = Revisions(service, [revision])
        release = known.release_of(serving)
        instance = Instance(self._name, _state(service, revision), known.since(serving), release)
        return Status((instance,), release, known.served(release))

    def releases(self) -> list[Release]:
        """See ``Platform``."""
        return self._all(self._api.ask("GET", self._path)).releases()

    def restart(self, instance: str) -> None:
        """See ``Platform``. It is a new revision made as the one that serves was; that one serves until it is ready."""
        service = self._api.ask("GET", self._path)
        if _halted(service):
            self._wake(service)
            return
        serving, whole = serves(service)
        if serving is None or not whole:
            raise ServiceError(f"{self._name} has no one release that serves all", "Activate a release, then restart")
        revision = self._revision(serving)
        template = dict(service["template"])
        if short(service["latestCreatedRevision"]) != serving:
            template = {field: value for field, value in revision.items() if field in _TEMPLATE}
        template.pop("revision", None)
        before = datetime.now(UTC)
        try:
            service = self._patch(service, {"template": template}, {"forceNewRevision": "true"})
        except _NotDone as error:
            unhealthy = ServiceUnhealthy(
                f"{self._name}'s new revision did not start: {error.problem}", f"{serving} serves on; the log is above"
            )
            unhealthy.log = self.logs(before, LINES)
            raise unhealthy from None
        made = short(service["latestCreatedRevision"])
        release = Revisions(service, [revision]).release_of(serving)
        change: dict[str, Any] = {"annotations": noted(service, Entry(made, release, None))}
        if serves(service)[0] != made:
            change["traffic"] = _to(service, made)
        self._patch(service, change)

    def start(self, instance: str) -> None:
        """See ``Platform``."""
        service = self._api.ask("GET", self._path)
        if _halted(service):
            self._wake(service)

    def stop(self, instance: str) -> None:
        """See ``Platform``. It is scaled to none by hand; how it was scaled before is written down beside it."""
        service = self._api.ask("GET", self._path)
        if not _halted(service):
            before = service.get("scaling", {})
            scaling = {**before, "scalingMode": "MANUAL", "manualInstanceCount": 0}
            annotations = {**service.get("annotations", {}), SCALING: json.dumps(before)}
            self._patch(service, {"scaling": scaling, "annotations": annotations})

    def _wake(self, service: dict[str, Any]) -> None:
        """What somebody else stopped, or whose note was spoilt, is left to Google to scale."""
        annotations = dict(service.get("annotations", {}))
        rest = {field: value for field, value in service["scaling"].items() if field != "manualInstanceCount"}
        scaling = {**rest, "scalingMode": "AUTOMATIC"}
        with contextlib.suppress(ValueError, TypeError):
            scaling = {"scalingMode": "AUTOMATIC", **json.loads(annotations.pop(SCALING, ""))}
        self._patch(service, {"scaling": scaling, "annotations": annotations})

    def activate(self, release: str) -> bool:
        """See ``Platform``. The release is pinned: what is deployed later serves only once that is undone."""
        service = self._api.ask("GET", self._path)
        known = self._all(service)
        names = [each.id for each in known.releases()]
        if release not in names:
            raise ReleaseMissing.among(self._name, release, names)
        serving, whole = serves(service)
        if whole and serving and known.release_of(serving) == release:
            return False
        revision = known.newest_of(release)
        entry = Entry(revision, release, datetime.now(UTC).isoformat())
        service = self._patch(service, {"traffic": _to(service, revision), "annotations": noted(service, entry)})
        if serves(service) != (revision, True):
            raise ServiceError(
                f"{self._name} serves {serves(service)[0]} and not {release}: somebody else switched it meanwhile",
                "Look at its status, then try again",
            )
        _log.warning(
            "%s is pinned to %s: later deployments get no traffic until you type: "
            "gcloud run services update-traffic %s --to-latest --region %s",
            self._name, revision, self._name, self._service.region,
        )  # fmt: skip
        return True

    def logs(self, since: datetime | None = None, lines: int = 100, instance: str | None = None) -> list[str]:
        """See ``Platform``."""
        wanted = (
            'resource.type="cloud_run_revision"'
            f' AND resource.labels.service_name="{self._name}"'
            f' AND resource.labels.location="{self._service.region}"'
        )
        if since:
            wanted += f' AND timestamp>="{since.astimezone(UTC).isoformat()}"'
        asked = {"resourceNames": [f"projects/{self._service.project}"], "filter": wanted,
                 "orderBy": "timestamp desc", "pageSize": lines}  # fmt: skip
        found = self._logging.ask("POST", "entries:list", json=asked).get("entries", [])
        return [_line(entry) for entry in reversed(found)]

    def missing(self, names: list[str]) -> list[str]:
        """See ``Platform``."""
        service = self._api.ask("GET", self._path)
        serving, _ = serves(service)
        shape = self._revision(serving) if serving else service["template"]
        given = {each["name"] for container in shape["containers"] for each in container.get("env", ())}
        return [name for name in names if name not in given]

    def _revision(self, name: str) -> dict[str, Any]:
        return dict(self._api.ask("GET", f"{self._path}/revisions/{name}"))

    def _all(self, service: dict[str, Any]) -> Revisions:
        found: list[dict[str, Any]] = []
        token = ""
        asked = set()
        while token not in asked:
            asked.add(token)
            params = {"pageSize": "100", **({"pageToken": token} if token else {})}
            page = self._api.ask("GET", f"{self._path}/revisions", params=params)
            found += page.get("revisions", [])
            token = page.get("nextPageToken", "")
        return Revisions(service, found)

    def _patch(
        self, service: dict[str, Any], change: dict[str, Any], options: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Change the service as it was read, and wait until that is carried out; the service as it is then."""
        body = {"name": self._path, "etag": service["etag"], **change}
        params = {"updateMask": ",".join(change), **(options or {})}
        try:
            operation = self._api.ask("PATCH", self._path, json=body, params=params)
        except ApiError as error:
            if error.code != 409:
                raise
            raise ServiceError(
                f"{self._name} was changed by somebody else meanwhile, and not by this",
                "Look at its status, then try again",
            ) from None
        deadline = time.monotonic() + LONGEST
        while not operation.get("done"):
            self._pause(deadline)
            operation = self._api.ask("GET", operation["name"])
        if "error" in operation:
            raise _NotDone(f"Cloud Run: {operation['error'].get('message', 'no reason given')}")
        while True:
            changed: dict[str, Any] = self._api.ask("GET", self._path)
            # After a deployment that failed the generation is not observed until another one succeeds.
            seen = changed["generation"] == changed.get("observedGeneration")
            if not changed.get("reconciling") and (seen or failed(changed, "Ready")):
                return changed
            self._pause(deadline)

    def _pause(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise ServiceError(
                f"Cloud Run still changes {self._name} after {LONGEST:g} s", "Look at its status: it may yet finish"
            )
        time.sleep(PAUSE)


class _NotDone(ServiceError):
    """The operation was begun and failed."""


def _halted(service: dict[str, Any]) -> State | None:
    scaling = service.get("scaling", {})
    none = scaling.get("scalingMode") == "MANUAL" and not scaling.get("manualInstanceCount")
    return State.STOPPED if none else None


def _state(service: dict[str, Any], revision: dict[str, Any]) -> State:
    """A deployment that failed does not count: what served before serves on."""
    if halted := _halted(service):
        return halted
    if service.get("reconciling"):
        return State.STARTING
    return State.FAILED if failed(revision, "Ready") or failed(service, "RoutesReady") else State.RUNNING


def _to(service: dict[str, Any], revision: str) -> list[dict[str, Any]]:
    """All traffic to one revision; tags, which have URLs of their own, stay where they are."""
    tagged = [target for target in service.get("traffic", ()) if target.get("tag")]
    kept = [{field: target[field] for field in ("type", "revision", "tag") if field in target} for target in tagged]
    return [{"type": PINNED, "revision": revision, "percent": 100}, *kept]


def _line(entry: dict[str, Any]) -> str:
    payload = entry.get("jsonPayload", {})
    said = entry.get("textPayload") or payload.get("message") or (json.dumps(payload) if payload else "")
    if request := entry.get("httpRequest"):
        said = f"{request.get('requestMethod')} {request.get('requestUrl')} {request.get('status')} {said}".rstrip()
    said = said or entry.get("protoPayload", {}).get("methodName", "")
    return f"{entry['timestamp']} {' '.join(str(said).split())}".rstrip()
