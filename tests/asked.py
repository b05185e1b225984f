"""Asking the worker: in this process, which is quicker and the same code, or in one of its own as pyinfra does."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import Any

from ops.environment import Retention, root
from ops.errors import OpsError
from ops.sandbox.shop import Shop
from ops.secrets import revealed
from ops.storage import S3, Directory
from ops.worker.request import Request


@dataclass
class Answer:
    """What a worker said."""

    code: int
    answer: dict[str, Any]
    progress: list[str]

    @property
    def backup(self) -> dict[str, Any]:
        """The backup that it answered with."""
        assert self.code == 0, self.answer
        found: dict[str, Any] = self.answer["backup"]
        return found


@dataclass
class Asked:
    """A shop, a store, and the worker between them."""

    shop: Shop
    store: S3 | Directory

    def request(self, **more: Any) -> str:
        """The request for any verb."""
        return json.dumps(
            {
                "environment": "test",
                "database_name": self.shop.name,
                "owner": "tests@here",
                "store": revealed(self.store),
                "database": revealed(self.shop.description()),
                "server": revealed(self.shop.description()),
                "retention": Retention().model_dump(),
                "jobs": 2,
                **more,
            }
        )

    def start(self, verb: str, env: dict[str, str] | None = None, **more: Any) -> subprocess.Popen[str]:
        """Begin a verb."""
        process = subprocess.Popen(
            [sys.executable, "-m", "ops.worker", verb],
            cwd=root(),
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(self.request(**more) + "\n")
        process.stdin.close()
        process.stdin = None
        return process

    def finish(self, process: subprocess.Popen[str]) -> Answer:
        """Wait for its answer."""
        output, progress = process.communicate(timeout=120)
        answer = json.loads(output)["answer"] if output else {}
        return Answer(process.returncode, answer, progress.splitlines())

    def ask(self, verb: str, **more: Any) -> Answer:
        """Run a verb to its end, here."""
        progress = io.StringIO()
        with redirect_stderr(progress):
            try:
                code, answer = (
                    0,
                    importlib.import_module(f"ops.worker.{verb}").run(Request(**json.loads(self.request(**more)))),
                )
            except OpsError as error:
                code, answer = 1, error.to_json()
        return Answer(code, json.loads(json.dumps(answer)), progress.getvalue().splitlines())
