"""Every write and read of Neon's API in every trouble: how it ends, how often it is asked for, and how often done."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from standins.neon import NeonApi
from standins.neon_records import Branch as Kept
from standins.neon_records import Moment

from ops.clouds.neon import Project
from ops.clouds.neon_resources import Branch
from ops.errors import PlatformDenied, PlatformUnreachable, ServiceError

DONE = ""
"""How it ends well; otherwise, what the error says."""
GOOD = 100
"""Times that are for good."""


@dataclass(frozen=True)
class Write:
    """A write.

    Args:
        name: its own.
        method: how it is asked for.
        path: and where, an expression.
        action: Neon's operation that carries it out.
        act: does it, with the client and the branch ``dev``.
        done: whether it is, with the branch ``dev`` as the stand-in keeps it, which may be gone.
        real: whether ``dev`` needs a database.
        kept: whether ``dev`` has an endpoint.
    """

    name: str
    method: str
    path: str
    action: str
    act: Callable[[Project, Branch], Any]
    done: Callable[[NeonApi, Kept], bool]
    real: bool = False
    endpoint: bool = False


def _main(project: Project) -> Branch:
    return project.require("main")


def _turned(state: str) -> Callable[[NeonApi, Kept], bool]:
    return lambda cloud, dev: [each.state for each in cloud.state.computes(dev.id)] == [state]


WRITES = [
    Write("make", "POST", "/branches$", "create_branch",
          lambda project, dev: project.make("made", _main(project)),
          lambda cloud, dev: "made" in cloud.names() and cloud.branch("made").state == "ready"),
    Write("protect", "PATCH", "/branches/", "timeline_update_protected_config",
          lambda project, dev: project.change(dev, protected=True),
          lambda cloud, dev: dev.protected),
    Write("delete", "DELETE", "/branches/", "delete_timeline",
          lambda project, dev: project.delete(dev),
          lambda cloud, dev: dev.id not in cloud.branches),
    Write("restore", "POST", "/restore$", "create_timeline",
          lambda project, dev: project.restore(dev, dev, at="0/1", keep_as="kept"),
          lambda cloud, dev: "kept" in cloud.names(), real=True),
    Write("reset", "POST", "/restore$", "create_timeline",
          lambda project, dev: project.restore(dev, _main(project)),
          lambda cloud, dev: dev.reset is not None, real=True),
    Write("serve", "POST", "/endpoints$", "start_compute",
          lambda project, dev: project.serve(dev), _turned("active")),
    Write("start", "POST", "/start$", "start_compute",
          lambda project, dev: project.start(project.endpoints(dev)[0]), _turned("active"), endpoint=True),
    Write("suspend", "POST", "/suspend$", "suspend_compute",
          lambda project, dev: project.suspend(project.endpoints(dev)[0]), _turned("idle"), endpoint=True),
]  # fmt: skip


@dataclass(frozen=True)
class Trouble:
    """What befalls a request.

    Args:
        name: its own.
        order: orders it of the stand-in, for a method, a path and an action.
        ends: ``DONE``, or what the error says.
        asked: how many requests there are of this method and path.
        begun: how often Neon begins it.
        done: whether it is done then.
    """

    name: str
    order: Callable[[NeonApi, str, str, str], None]
    ends: str
    asked: int
    begun: int
    done: bool


def _answered(status: int, times: int, after: str = "", carried_out: bool = False) -> Callable[..., None]:
    headers = {"Retry-After": after} if after else {}
    return lambda cloud, method, path, action: cloud.fail(
        method, path, status, times=times, headers=headers, carried_out=carried_out
    )


def _cut(carried_out: bool) -> Callable[..., None]:
    return lambda cloud, method, path, action: cloud.cut(method, path, carried_out=carried_out)


def _ending(status: str) -> Callable[..., None]:
    return lambda cloud, method, path, action: cloud.operations_fail(action, status)


def _looked_at_in_trouble(cloud: NeonApi, method: str, path: str, action: str) -> None:
    for status in (423, 500, 502, 503):
        cloud.fail("GET", "/operations/", status)
    cloud.cut("GET", "/operations/")


TROUBLES = [
    #        name                       order                           ends                        asked begun done
    Trouble("locked twice",             _answered(423, 2),              DONE,                           3, 1, True),
    Trouble("locked for good",          _answered(423, GOOD),           "Neon answered 423: told",      6, 0, False),
    Trouble("throttled",                _answered(429, 1, "0.01"),      DONE,                           2, 1, True),
    Trouble("throttled for good",       _answered(429, GOOD, "0.001"),  "Neon answered 429: told",      6, 0, False),
    Trouble("throttled for long",       _answered(429, 1, "300"),       "to be left alone for 300 s",   1, 0, False),
    Trouble("unavailable twice",        _answered(503, 2),              DONE,                           3, 1, True),
    Trouble("unavailable for good",     _answered(503, GOOD),           "Neon answered 503: told",      6, 0, False),
    Trouble("unavailable for long",     _answered(503, 1, "300"),       "to be left alone for 300 s",   1, 0, False),
    Trouble("broken",                   _answered(500, 1),              "Neon answered 500: told",      1, 0, False),
    Trouble("broken when done",         _answered(500, 1, "", True),    "Neon answered 500: told",      1, 1, True),
    Trouble("bad gateway when done",    _answered(502, 1, "", True),    "Neon answered 502: told",      1, 1, True),
    Trouble("cut",                      _cut(False),                    "Neon did not answer",          1, 0, False),
    Trouble("cut when done",            _cut(True),                     "Neon did not answer",          1, 1, True),
    Trouble("operation failed",         _ending("failed"),              "is failed: told to fail",      1, 1, False),
    Trouble("operation in error",       _ending("error"),               "is error: told to fail",       1, 1, False),
    Trouble("operation cancelled",      _ending("cancelled"),           "is cancelled",                 1, 1, False),
    Trouble("operation skipped",        _ending("skipped"),             DONE,                           1, 1, True),
    Trouble("looked at in trouble",     _looked_at_in_trouble,          DONE,                           1, 1, True),
]  # fmt: skip


def _named(one: Any) -> str:
    return str(one.name).replace(" ", "-")


@pytest.mark.parametrize("trouble", TROUBLES, ids=_named)
@pytest.mark.parametrize("write", WRITES, ids=_named)
def test_a_write_in_trouble_is_done_once_or_not_at_all(
    cloud: NeonApi, project: Project, write: Write, trouble: Trouble
) -> None:
    kept = cloud.state.add(_branch(cloud, write, trouble.done))
    dev = project.require("dev")
    before = cloud.begun(write.action)
    trouble.order(cloud, write.method, write.path, write.action)
    if trouble.ends:
        with pytest.raises(ServiceError, match=re.escape(trouble.ends)) as failure:
            write.act(project, dev)
        assert "\n" not in str(failure.value)
    else:
        write.act(project, dev)
    assert len(cloud.asked(write.method, write.path)) == trouble.asked
    assert cloud.begun(write.action) - before == trouble.begun
    assert write.done(cloud, kept) == trouble.done


def _branch(cloud: NeonApi, write: Write, done: bool) -> Kept:
    """A child of main, which costs as little as the write can do with."""
    main, storage = cloud.branch("main"), cloud.state.storage
    kept = Kept("br-dev-1", "dev", storage.name(), cloud.now(), main.id)
    if write.real and done:
        storage.copy(main.database, kept.database)
    if write.name == "restore":
        kept.history.append(Moment(cloud.now(), "0/1", main.database))
    if write.endpoint:
        cloud.state.equip(kept).state = "active" if write.name == "suspend" else "idle"
    return kept


READS: dict[str, Callable[[Project], Any]] = {
    "/branches$": lambda project: project.branches(),
    "/endpoints$": lambda project: project.endpoints(),
    "/connection_uri$": lambda project: project.uri("main"),
}


@pytest.mark.parametrize(
    ("order", "ends", "asked"),
    [
        (_answered(423, 2), DONE, 3),
        (_answered(429, 1, "0.01"), DONE, 2),
        (_answered(429, 1, "300"), "to be left alone for 300 s", 1),
        (_answered(500, 2), DONE, 3),
        (_answered(500, GOOD), "Neon answered 500: told", 6),
        (_answered(502, 2), DONE, 3),
        (_answered(503, 2), DONE, 3),
        (_answered(504, GOOD), "Neon answered 504: told", 6),
        (_answered(401, 1), "Neon answered 401: told", 1),
        (_answered(403, 1), "Neon answered 403: told", 1),
        (_answered(404, 1), "Neon answered 404: told", 1),
        (_cut(False), DONE, 2),
        (lambda cloud, method, path, action: cloud.cut(method, path, times=GOOD), "Neon did not answer", 3),
    ],
)
def test_a_read_in_trouble_is_asked_again_where_that_may_help(
    cloud: NeonApi, project: Project, order: Callable[..., None], ends: str, asked: int
) -> None:
    for path, act in READS.items():
        cloud.calm()
        cloud.requests.clear()
        order(cloud, "GET", path, "")
        if ends:
            with pytest.raises((ServiceError, PlatformDenied, PlatformUnreachable), match=re.escape(ends)):
                act(project)
        else:
            act(project)
        assert len(cloud.asked("GET", path)) == asked, path
