"""What is asked of Neon and made of its answers, against a stand-in whose branches are real databases."""

from __future__ import annotations

import re
import secrets
import time
from datetime import timedelta

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from standins.neon import NeonApi

from ops import Postgres
from ops.clouds import api, neon
from ops.clouds.neon import Project
from ops.clouds.neon_resources import Branch
from ops.errors import ConfigurationError, PlatformDenied, ServiceError, ServiceMissing
from ops.secrets import Secret


@pytest.fixture
def dev(cloud: NeonApi, project: Project) -> Branch:
    """A branch of main, of a name that no other test has."""
    made = project.make(f"dev-{secrets.token_hex(4)}", project.require("main"))
    cloud.requests.clear()
    return made


def connected(cloud: NeonApi, branch: str) -> psycopg.Connection:
    return psycopg.connect(make_conninfo(**cloud.described().on(branch).parameters()), autocommit=True)


def order(cloud: NeonApi, branch: str, name: str) -> None:
    with connected(cloud, branch) as connection:
        connection.execute("INSERT INTO orders VALUES (%s)", [name])


def orders(cloud: NeonApi, branch: str) -> set[str]:
    with connected(cloud, branch) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM orders")}


def test_a_branch_is_found_by_its_exact_name(cloud: NeonApi, project: Project) -> None:
    main = project.require("main")
    cloud.pass_time(timedelta(seconds=2))
    project.make("main-2", main, endpoint=False)
    assert project.branch("main") == main and main.default and not main.protected
    assert project.branch("mai") is None
    assert [each.name for each in project.branches()] == ["main-2", "main"]
    with pytest.raises(ServiceMissing, match=rf"{cloud.project} has no branch dev\. There are: main-2, main"):
        project.require("dev")
    with pytest.raises(PlatformDenied, match=r"authentication failed\. Look at"):
        Project(cloud.described(api_key=Secret("KEY", lambda: "another"))).branches()
    with pytest.raises(ServiceMissing, match="project not found"):
        Project(cloud.described(project="another")).branches()


def test_pages_are_read_to_their_end(cloud: NeonApi, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    main = project.require("main")
    names = {project.make(f"page-{number}", main, endpoint=False).name for number in range(3)}
    monkeypatch.setattr(neon, "_PAGE", "2")
    for cloud.paths.repeats_cursor in (False, True):
        cloud.requests.clear()
        assert sorted(each.name for each in project.branches()) == sorted({*names, "main"})
        assert [each.query.get("cursor") for each in cloud.requests] == [None, "2"]


def test_a_branch_has_what_was_in_its_parent_and_goes_its_own_way(cloud: NeonApi, project: Project) -> None:
    main, expires = project.require("main"), cloud.now() + timedelta(hours=2)
    with connected(cloud, "main") as session:
        made = project.make("copy", main, expires=expires)
        assert session.execute("SELECT 1").fetchone(), "Neon does not end the parent's sessions"
    (asked,) = cloud.asked("POST", "/branches$")
    assert asked.body == {
        "branch": {"name": "copy", "parent_id": main.id, "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%SZ")},
        "endpoints": [{"type": "read_write"}],
    }
    assert (made.name, made.parent, made.state, made.expires) == (
        "copy",
        main.id,
        "ready",
        expires.replace(microsecond=0),
    )
    order(cloud, "copy", "of the copy")
    order(cloud, "main", "of main")
    assert orders(cloud, "copy") == {"first", "of the copy"}
    assert "of the copy" not in orders(cloud, "main")
    assert project.endpoints(made)[0].state == "active"
    assert {each.branch for each in project.endpoints()} == {main.id, made.id}


def test_a_branch_without_a_compute_is_not_connected_to(cloud: NeonApi, project: Project) -> None:
    made = project.make("bare", project.require("main"), endpoint=False)
    assert "endpoints" not in cloud.asked("POST", "/branches$")[0].body
    assert project.endpoints(made) == []
    with pytest.raises(ServiceMissing, match="no read-write endpoint found"):
        project.uri("bare")
    assert project.serve(made) == project.serve(made) == project.endpoints(made)[0]
    assert len(cloud.asked("POST", "/endpoints$")) == 1
    assert orders(cloud, "bare") >= {"first"}


def test_the_direct_host_is_asked_for_and_the_pooler_is_refused(cloud: NeonApi, project: Project) -> None:
    assert project.uri("main").reveal() == cloud.connection_url("main").replace("disable", "require")
    (asked,) = cloud.asked("GET", "connection_uri")
    assert asked.query["pooled"] == "false"
    params = {**asked.query, "pooled": "true"}
    pooled = project._api.ask("GET", f"projects/{cloud.project}/connection_uri", params=params)["uri"]
    with pytest.raises(ConfigurationError, match="is Neon's connection pooler"):
        Postgres(url=Secret("URL", lambda: pooled)).parameters()


def test_a_branch_is_made_of_a_moment_of_its_parent(cloud: NeonApi, project: Project, dev: Branch) -> None:
    order(cloud, dev.name, "before")
    then = cloud.remember(dev.name)
    order(cloud, dev.name, "after")
    for name, at in (("of-a-time", then.time), ("of-an-lsn", then.lsn)):
        made = project.make(name, dev, at=at)
        assert orders(cloud, name) == orders(cloud, dev.name) - {"after"}
        assert made.lsn == then.lsn and made.at == then.time.replace(microsecond=0)
    with pytest.raises(ServiceError, match="outside of the restore window"):
        project.make("too-early", dev, at=then.time - timedelta(days=1))
    assert project.branch("too-early") is None


def test_a_branch_goes_by_itself_when_it_expires(cloud: NeonApi, project: Project) -> None:
    main, soon = project.require("main"), cloud.now() + timedelta(minutes=1)
    stays, goes = (project.make(name, main, expires=soon, endpoint=False) for name in ("stays", "goes"))
    assert project.change(stays, expires_at=None).expires is None
    later = cloud.now() + timedelta(minutes=5)
    assert project.change(goes, expires_at=later).expires == later.replace(microsecond=0)
    cloud.pass_time(timedelta(minutes=2))
    assert project.branch("goes") == project.change(goes, name="goes")
    cloud.pass_time(timedelta(minutes=4))
    assert project.branch("goes") is None and project.branch("stays") is not None
    with pytest.raises(ServiceError, match="expires_at must be in the future, and at most 30 days away"):
        project.change(stays, expires_at=cloud.now() + timedelta(days=31))


def test_what_is_gone_already_is_deleted(cloud: NeonApi, project: Project, dev: Branch) -> None:
    project.delete(dev)
    assert cloud.names() == {"main"} and len(project.endpoints()) == 1
    project.delete(dev)
    assert len(cloud.asked("DELETE")) == 2
    stays = project.make("stays", project.require("main"), endpoint=False)
    cloud.fail("DELETE", "/branches/", 404)
    with pytest.raises(ServiceMissing):
        project.delete(stays)


def test_what_neon_refuses_is_one_line(cloud: NeonApi, project: Project, dev: Branch) -> None:
    main = project.require("main")
    child = project.make("child", dev, endpoint=False)
    expiring = project.make("expiring", main, expires=cloud.now() + timedelta(hours=1), endpoint=False)
    protected = project.change(child, name="protected", protected=True)
    assert protected.name == "protected" and protected.protected
    for refused, reason in (
        (lambda: project.delete(main), "the default branch cannot be deleted"),
        (lambda: project.delete(dev), "has child branches cannot be deleted"),
        (lambda: project.delete(protected), "protected or has child branches cannot be deleted"),
        (lambda: project.make(dev.name, main), f"the name {dev.name} already exists"),
        (lambda: project.change(dev, name="main"), "the name main already exists"),
        (lambda: project.make("grandchild", expiring), "expiration time cannot have child branches"),
        (lambda: project.change(dev, expires_at=cloud.now() + timedelta(hours=1)), "parents cannot have an expiration"),
        (lambda: project.restore(protected, dev), "a protected branch cannot be reset"),
        (lambda: project.restore(dev, main), "has child branches: preserve_under_name is required"),
        (lambda: project.restore(main, expiring, keep_as="old"), "expiration time cannot have child branches"),
    ):
        before = {each.id: each for each in project.branches()}
        with pytest.raises(ServiceError, match=reason) as failure:
            refused()
        assert "\n" not in str(failure.value)
        assert {each.id: each for each in project.branches()} == before


@pytest.mark.parametrize("given", [{}, {"at": "0/1"}, {"keep_as": "old"}])
def test_a_branch_is_restored_from_itself_only_to_a_moment_and_kept(
    cloud: NeonApi, project: Project, given: dict[str, str]
) -> None:
    main = project.require("main")
    cloud.requests.clear()
    with pytest.raises(ConfigurationError, match="main can be restored from itself only to an earlier time, and kept"):
        project.restore(main, main, **given)
    assert not cloud.requests


def test_a_branch_goes_back_in_its_own_history(cloud: NeonApi, project: Project, dev: Branch) -> None:
    child = project.make("child", dev, endpoint=False)
    order(cloud, dev.name, "good")
    then = cloud.remember(dev.name)
    order(cloud, dev.name, "bad")
    (endpoint,), url = project.endpoints(dev), project.uri(dev.name).reveal()
    with connected(cloud, dev.name) as session:
        restored = project.restore(dev, dev, at=then.time, keep_as="kept")
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert {"good", "bad"} & orders(cloud, dev.name) == {"good"}
    assert (restored.id, restored.name, project.endpoints(dev), project.uri(dev.name).reveal()) == (
        dev.id, dev.name, [endpoint], url
    )  # fmt: skip
    kept = project.require("kept")
    assert project.require("child").parent == kept.id != child.parent
    assert restored.parent == kept.id, "the parent of what was no root is what was kept of it"
    project.serve(kept)
    assert {"good", "bad"} <= orders(cloud, "kept")


def test_main_goes_back_and_what_was_kept_can_be_deleted(cloud: NeonApi, project: Project) -> None:
    main = project.require("main")
    point = project.make("point", main, endpoint=False)
    before = orders(cloud, "main")
    order(cloud, "main", "of the migration")
    assert point.lsn
    restored = project.restore(main, main, at=point.lsn, keep_as="kept")
    assert orders(cloud, "main") == before
    assert restored.parent is None and restored.default
    for name in ("point", "kept"):
        project.delete(project.require(name))
    assert cloud.names() == {"main"}


def test_main_gets_the_content_of_another_branch_which_becomes_its_parent(cloud: NeonApi, project: Project) -> None:
    main = project.require("main")
    point = project.make("point", main, endpoint=False)
    before = orders(cloud, "main")
    order(cloud, "main", "of another migration")
    restored = project.restore(main, point, keep_as="kept")
    assert orders(cloud, "main") == before
    assert restored.parent == point.id and project.require("point").parent == project.require("kept").id
    with pytest.raises(ServiceError, match="cannot be deleted"):
        project.delete(project.require("kept"))


def test_a_branch_is_reset_to_its_parent(cloud: NeonApi, project: Project, dev: Branch) -> None:
    order(cloud, dev.name, "of the branch")
    order(cloud, "main", "later in main")
    project.restore(dev, project.require("main"))
    assert orders(cloud, dev.name) == orders(cloud, "main") >= {"later in main"}


def test_a_suspended_endpoint_starts_when_somebody_connects(cloud: NeonApi, project: Project, dev: Branch) -> None:
    (endpoint,) = project.endpoints(dev)
    with connected(cloud, dev.name) as session:
        project.suspend(endpoint)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert project.endpoints(dev)[0].state == "idle"
    assert orders(cloud, dev.name)
    assert project.endpoints(dev)[0].state == "active" and cloud.endpoint(dev.name).starts == 1
    project.suspend(endpoint)
    project.start(endpoint)
    project.start(endpoint)
    assert project.endpoints(dev)[0].state == "active" and cloud.endpoint(dev.name).starts == 1


def test_snapshots_are_listed(cloud: NeonApi, project: Project, dev: Branch) -> None:
    asked = {"name": "weekly", "expires_at": "2030-01-01T00:00:00Z"}
    project._api.ask("POST", f"projects/{cloud.project}/branches/{dev.id}/snapshot", params=asked)
    (found,) = project.snapshots()
    assert (found.name, found.branch) == ("weekly", dev.id)
    assert found.expires and found.expires.year == 2030


def test_a_moment_is_a_time_or_an_lsn() -> None:
    assert neon.moment("0/1A2B3C4D") == "0/1A2B3C4D"
    assert neon.moment("2026-11-21T10:00:00.25+01:00") == neon.moment("2026-11-21T09:00:00.250")
    with pytest.raises(ConfigurationError, match="yesterday is no point in a branch's history"):
        neon.moment("yesterday")


def test_what_the_contract_does_not_have_is_refused(standing: NeonApi, cloud: NeonApi, project: Project) -> None:
    with pytest.raises(ServiceError):
        project.make("", project.require("main"))
    assert re.fullmatch(r"POST .*/branches: branch/name: '' should be non-empty", cloud.violations.pop())
    unwrapped = project._api.ask("POST", f"projects/{cloud.project}/branches", json={"name": "ignored"})
    assert unwrapped["branch"]["name"].startswith("br-") and not unwrapped["endpoints"]


def test_what_neon_asks_to_wait_is_waited(cloud: NeonApi, project: Project) -> None:
    main = project.require("main")
    cloud.fail("POST", "/branches$", 429, headers={"Retry-After": "0.4"})
    began = time.monotonic()
    project.make("made", main, endpoint=False)
    assert time.monotonic() - began >= 0.4
    assert len(cloud.asked("POST", "/branches$")) == 2


def test_operations_that_take_long_are_waited_for_and_lock_their_branch(
    cloud: NeonApi, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = project.require("main")
    cloud.slow(0.3)
    monkeypatch.setattr(neon, "PATIENCE", 0.01)
    with pytest.raises(ServiceError, match=r"create_branch is running after 0 s\. It may still end well: look at the"):
        project.make("made", main, endpoint=False)
    monkeypatch.setattr(neon, "PATIENCE", 60)
    for limits in ("_READS", "_WRITES"):
        monkeypatch.setattr(api, limits, getattr(api, limits).new(backoff_factor=0.05))
    before = cloud.begun("delete_timeline")
    project.delete(project.require("made"))
    assert cloud.names() == {"main"}
    assert len(cloud.asked("DELETE")) > 1 and cloud.begun("delete_timeline") == before + 1
