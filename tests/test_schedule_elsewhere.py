"""The job as docs/schedule.md has it for other platforms, by the validators of each."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ops.environment import root

pytestmark = pytest.mark.slow

KUBERNETES, SCHEMAS, GOOGLE = (
    "kubernetes-validate==1.37.0",
    "check-jsonschema==0.39.0",
    "google-api-python-client==2.202.0",
)


@pytest.fixture
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A block of the page, by the name in its first line."""
    page = (root() / "docs/schedule.md").read_text()
    (text,) = re.findall(rf"```yaml\n(# {re.escape(request.param)}\n.*?)```", page, re.DOTALL)
    path = tmp_path / Path(request.param).name
    path.write_text(text)
    return path


def tool(package: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """A program from a package that is fetched when it is first needed."""
    program = package.partition("==")[0]
    command = [sys.executable, "-m", "uv", "tool", "run", "--quiet", "--from", package, program]
    if subprocess.run([*command, "--help"], capture_output=True).returncode:
        pytest.skip(f"needs a registry that has {package}")
    return subprocess.run([*command, *words], capture_output=True, text=True)


def spoilt(path: Path, right: str, wrong: str) -> Path:
    """The same with a mistake."""
    text = path.read_text()
    assert text.count(right) == 1
    other = path.with_name(f"spoilt-{path.name}")
    other.write_text(text.replace(right, wrong))
    return other


@pytest.mark.parametrize("file", ["cronjob.yaml"], indirect=True)
def test_kubernetes_takes_the_cronjob(file: Path) -> None:
    done = tool(KUBERNETES, "--strict", "--kubernetes-version", "1.30", file)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = spoilt(file, "concurrencyPolicy: Forbid", "concurrency: Forbid")
    assert tool(KUBERNETES, "--strict", "--kubernetes-version", "1.30", wrong).returncode == 1


@pytest.mark.parametrize("file", [".github/workflows/backup.yaml"], indirect=True)
def test_github_takes_the_workflow(file: Path) -> None:
    done = tool(SCHEMAS, "--builtin-schema", "vendor.github-workflows", file)
    assert done.returncode == 0, done.stdout
    assert (
        tool(SCHEMAS, "--builtin-schema", "vendor.github-workflows", spoilt(file, "runs-on:", "runs:")).returncode == 1
    )


@pytest.mark.parametrize("file", ["job.yaml"], indirect=True)
def test_cloud_run_takes_the_job(file: Path, tmp_path: Path) -> None:
    """By the description that Google publishes of the API which takes such files, strictly: nothing unknown."""
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(strict(discovered("run.v1"), "Job")))
    done = tool(SCHEMAS, "--schemafile", schema, file)
    assert done.returncode == 0, done.stdout
    assert tool(SCHEMAS, "--schemafile", schema, spoilt(file, "maxRetries", "retries")).returncode == 1


def discovered(api: str) -> dict[str, Any]:
    """The discovery document of an API; of the package that has them all, this one file is read."""
    with tempfile.TemporaryDirectory() as place:
        words: Sequence[str] = ("download", "--quiet", "--no-deps", "--disable-pip-version-check", "--dest", place)
        done = subprocess.run([sys.executable, "-m", "pip", *words, GOOGLE], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"needs a registry that has {GOOGLE}")
        (wheel,) = Path(place).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return json.loads(archive.read(f"googleapiclient/discovery_cache/documents/{api}.json"))


def strict(document: dict[str, Any], name: str) -> dict[str, Any]:
    """A JSON schema of one of its messages."""

    def told(part: Any) -> Any:
        if isinstance(part, list):
            return [told(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return {"$ref": f"#/$defs/{part['$ref']}"}
        if part.get("format") == "int64":
            return {"type": ["string", "integer"]}
        kept = {key: told(value) for key, value in part.items() if key in ("type", "items", "additionalProperties")}
        if kept.get("type") == "any":
            return {}
        if "properties" in part:
            kept |= {
                "properties": {key: told(value) for key, value in part["properties"].items()},
                "additionalProperties": False,
            }
        return kept

    return {"$ref": f"#/$defs/{name}", "$defs": {key: told(value) for key, value in document["schemas"].items()}}
