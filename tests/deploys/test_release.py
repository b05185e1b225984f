"""A release as typed, on a real service with releases and a real database that migrates."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from story import ADDITIVE, ONE, THREE, TWO, Story

from ops.stores import open_store

pytestmark = pytest.mark.slow


class Checked:
    """The story, with checks that fail while a file is there."""

    def __init__(self, story: Story, place: Path) -> None:
        self.story = story
        self.wrong = place / "wrong"
        checks = f"""checks=[
        Program(name="errors", command="test ! -e {self.wrong}"),
        Program(name="not release two", command="! readlink {story.web.releases}/current | grep -q {TWO}-never"),
        Tool(command="python3", hosts="runner", at_least="3"),
    ],
    watch=Watch(every="1s", triggers=[Trigger(check="errors", lasting="2s")]),
    services="""
        text = story.pyinfra.inventory.read_text().replace("services=", checks, 1)
        self._write(text.replace("import S3,", "import S3, Program, Tool, Trigger, Watch,"))
        story.write("0001_birthday", ADDITIVE)

    def _write(self, text: str) -> None:
        self.story.pyinfra.inventory.write_text(text)

    def instead(self, old: str, new: str) -> None:
        text = self.story.pyinfra.inventory.read_text()
        assert old in text
        self._write(text.replace(old, new))

    def release(self, *data: str, code: int = 0) -> str:
        options = [word for one in (f"release={TWO}", "max_age=0s", *data) for word in ("--data", one)]
        return self.story.type("deploys/release.py", *options, code=code).stderr

    def break_release(self, release: str) -> None:
        """Let it end as soon as it is started."""
        (self.story.web.releases / "releases" / release / "release.txt").unlink()

    def untouched(self) -> bool:
        return self.story.serving() == [ONE, ONE] and "birthday" not in self.story.columns() and not self.backups()

    def backups(self) -> int:
        return len([one for one in open_store(self.story.worker.store).list("test/") if one.key.endswith(".dump")])


@pytest.fixture
def checked(story: Story, tmp_path: Path) -> Checked:
    return Checked(story, tmp_path)


def test_all_of_it_is_one_command_and_one_record_and_the_second_time_no_change(checked: Checked) -> None:
    said = checked.release("watch=2s", "reason=thursday")
    assert checked.story.serving() == [TWO, TWO]
    assert "birthday" in checked.story.columns()
    assert checked.backups() == 1
    assert "watched for 2s: no trigger held" in said
    assert "test is released: web" in said
    store = open_store(checked.story.worker.store)
    keys = [one.key for one in store.list("test/runs/") if one.key.endswith("-release.json")]
    (run,) = [json.loads(store.read(key)[0]) for key in keys]
    assert run["result"] == "done"
    assert run["reason"] == "thursday"
    assert {"Preflight", "Back up", "Migrate", "Bring web out", "Verify", "Watch"} <= {
        step["operation"] for step in run["steps"]
    }
    again = checked.story.type("deploys/release.py", "--data", f"release={TWO}")
    assert f"web is on release {TWO} already" in again.stderr
    assert checked.backups() == 1


def test_what_must_hold_before_a_release_and_does_not_keeps_it_from_changing_anything(checked: Checked) -> None:
    checked.instead('at_least="3"', 'at_least="99"')
    said = checked.release(code=1)
    assert "nothing was brought out, because of the preflight: test is not as it must be: python3" in said
    assert f"Mend that, then type: pyinfra {checked.story.pyinfra.inventory} deploys/release.py" in said
    assert checked.story.serving() == [ONE, ONE]
    assert "birthday" not in checked.story.columns()
    assert checked.backups() == 0


def test_what_was_wrong_before_the_release_does_not_keep_it_and_is_no_reason_to_go_back(checked: Checked) -> None:
    checked.wrong.touch()
    said = checked.release("rollback=automatic", code=1)
    assert checked.story.serving() == [TWO, TWO]
    assert "the release is out, and goes on serving: what is wrong was so before" in said


def test_what_does_not_hold_is_offered_to_be_taken_back(checked: Checked) -> None:
    checked.instead("within=15", "within=4")
    (checked.story.web.data / "broken").touch()
    said = checked.release(code=1)
    assert "the release failed: web on @local: web_1" in said
    assert f"To go back, type: pyinfra {checked.story.pyinfra.inventory} deploys/rollback.py" in said


def test_what_fails_only_since_the_release_takes_it_back_by_itself(checked: Checked) -> None:
    checked.instead(f"{TWO}-never", TWO)
    said = checked.release("rollback=automatic", code=1)
    assert checked.story.serving() == [ONE, ONE]
    assert (
        "the release failed and was rolled back: the verification: test is not as it must be: not release two" in said
    )


def test_a_trigger_that_holds_takes_it_back_by_itself(checked: Checked) -> None:
    def break_it() -> None:
        deadline = time.monotonic() + 100
        while checked.story.answers() != {TWO} and time.monotonic() < deadline:
            time.sleep(0.1)
        checked.wrong.touch()

    breaking = threading.Thread(target=break_it)
    breaking.start()
    said = checked.release("rollback=automatic", "watch=100s", code=1)
    breaking.join()
    assert checked.story.serving() == [ONE, ONE]
    assert "was rolled back" in said
    assert "right after that errors (@local) still fails" in said


def test_what_does_not_hold_is_taken_back_by_itself_and_not_gone_back_to_later(checked: Checked) -> None:
    checked.instead("within=15", "within=4")
    checked.break_release(TWO)
    options = ("--data", f"release={TWO}", "--data", "rollback=automatic")
    run = checked.story.pyinfra.type("-y", "deploys/release.py", *options)  # what is broken shows its own traceback
    assert run.code == 1
    assert checked.story.serving() == [ONE, ONE]
    assert "the release failed and was rolled back: web on @local: web_1" in run.stderr
    again = checked.story.type("deploys/rollback.py")
    assert f"web was rolled back to {ONE} already" in again.stderr
    assert checked.story.serving() == [ONE, ONE]


def test_a_release_that_was_taken_back_by_itself_although_it_held_is_not_gone_back_to(checked: Checked) -> None:
    checked.instead(f"{TWO}-never", TWO)
    checked.release("rollback=automatic", code=1)
    again = checked.story.type("deploys/rollback.py")
    assert f"web was rolled back to {ONE} already" in again.stderr
    assert checked.story.serving() == [ONE, ONE]


def test_an_environment_that_somebody_else_keeps_is_not_released(checked: Checked) -> None:
    kept = {"owner": "far@away", "reason": "x", "started": "2026-01-01T00:00:00Z", "seconds": 3600}
    open_store(checked.story.worker.store).write("test/reservation", json.dumps(kept).encode())
    said = checked.release("rollback=automatic", code=1)
    assert "nothing was brought out, because of the migrations: test is reserved: far@away" in said
    assert checked.story.serving() == [ONE, ONE]
    assert "birthday" not in checked.story.columns()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("release=2026-11-80", "web on @local has no release 2026-11-80"),
        ("release=1.10", "release=1.1 was read as a number"),
        ("watch=10", "10 is no duration"),
        ("service=5", "there is no service 5 in test. There are: web"),
        ("batch=all", "batch=all is no number of hosts"),
    ],
)
def test_what_was_mistyped_is_found_before_anything_is_changed(checked: Checked, typed: str, said: str) -> None:
    assert said in checked.release(typed, code=1)
    assert checked.untouched()


def test_what_could_not_be_brought_out_at_all_is_nothing_to_go_back_from(checked: Checked) -> None:
    checked.story.activate(TWO)
    ledger = checked.story.web.releases / "served.log"
    ledger.unlink()
    ledger.mkdir()  # now nothing can be activated
    said = checked.story.type(
        "deploys/release.py", "--data", f"release={THREE}", "--data", "rollback=automatic", code=1
    ).stderr
    assert "nothing was brought out, because of web on @local" in said
    assert checked.story.serving() == [TWO, TWO]


def test_a_check_that_fails_after_a_run_that_changed_nothing_takes_nothing_back(checked: Checked) -> None:
    checked.release()
    checked.instead("! readlink", f"test ! -e {checked.wrong}.2 || exit 1; touch {checked.wrong}.2; true # ")
    said = checked.release("rollback=automatic", "max_age=1h", code=1)
    assert "this run has changed no service, so there is nothing to go back from (the verification" in said
    assert checked.story.serving() == [TWO, TWO]


def test_an_environment_without_services_says_so(checked: Checked) -> None:
    text = checked.story.pyinfra.inventory.read_text()
    begin, end = text.index("services=["), text.index("migrations=")
    checked.story.pyinfra.inventory.write_text(text[:begin] + text[end:])
    assert "test has no services; all else is done" in checked.story.type("deploys/release.py").stderr
    assert "birthday" in checked.story.columns()


def test_what_is_to_be_typed_next_names_the_same_hosts(checked: Checked) -> None:
    checked.instead('at_least="3"', 'at_least="99"')
    said = checked.release("service=web", code=1)
    assert "--limit" not in said
    said = checked.story.type("deploys/release.py", "--limit", "runner", code=1).stderr
    assert f"type: pyinfra {checked.story.pyinfra.inventory} deploys/release.py --limit runner" in said
