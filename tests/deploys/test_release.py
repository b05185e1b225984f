"""A release as typed, on a real service with releases and a real database that migrates."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from story import ADDITIVE, ONE, TWO, Story

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
    assert "web of test is out" in said
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
    assert "errors" in said
