"""Neon's own OpenAPI specification, by which every request and answer of the stand-in is measured."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from openapi_core import Config, OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse
from standins.server import Answer, Request

PACKAGE = "@neondatabase/api-client"
HOST = "https://console.neon.tech"


@functools.cache
def installed(*packages: str) -> Path | None:
    """Where packages of npm are, installed once on this machine; None where npm is missing or cannot."""
    if not shutil.which("npm"):
        return None
    name = "-".join(package.strip("@").replace("/", "-") for package in packages)
    place = Path(tempfile.gettempdir()) / f"ops-tests-{name}-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "done").exists():
            words = ["npm", "install", "--prefix", place, "--no-audit", "--no-fund", "--ignore-scripts", *packages]
            if subprocess.run(words, capture_output=True, timeout=240).returncode:
                return None
            (place / "done").touch()
    return place / "node_modules"


class Contract:
    """What may be asked and answered.

    Args:
        specification: OpenAPI, parsed.
    """

    def __init__(self, specification: dict[str, Any]) -> None:
        # Whether it is well-formed itself is Neon's business, and takes long to find out.
        self._api = OpenAPI.from_dict(specification, config=Config(spec_validator_cls=None))

    def broken_by(self, request: Request) -> str | None:
        """What is wrong with a request; None: nothing."""
        try:
            self._api.validate_request(_asked(request))
        except OpenAPIError as error:
            return _said(error)
        return None

    def broken_by_answer(self, request: Request, answer: Answer) -> str | None:
        """What is wrong with the answer to a request; None: nothing."""
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        kind = "application/json" if body else ""
        try:
            self._api.validate_response(
                _asked(request), MockResponse(body, status_code=answer.status, content_type=kind)
            )
        except OpenAPIError as error:
            return _said(error)
        return None


@functools.cache
def contract() -> Contract:
    """Neon's, of the newest package of its major version."""
    modules = installed(f"{PACKAGE}@2")
    if modules is None:
        pytest.skip(f"needs npm, and its package {PACKAGE}")
    (file,) = (modules / PACKAGE).glob("*.yaml")
    specification = yaml.load(file.read_text(), yaml.CSafeLoader)
    for path in specification["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict):
                operation["responses"] = {str(code): what for code, what in operation["responses"].items()}
    return Contract(specification)


def _asked(request: Request) -> MockRequest:
    return MockRequest(
        HOST,
        request.method.lower(),
        request.path,
        args=request.query,
        headers={name.title(): value for name, value in request.headers.items()},
        data=None if request.body is None else json.dumps(request.body).encode(),
        content_type=request.headers.get("content-type", ""),
    )


def _said(error: BaseException) -> str:
    """The innermost reasons, without the whole body that they are about."""
    cause = error.__cause__ or error
    found = getattr(cause, "schema_errors", None) or getattr(error, "schema_errors", None)
    if found:
        return "; ".join(f"{'/'.join(map(str, each.absolute_path))}: {each.message[:200]}" for each in found)
    return f"{type(error).__name__}: {str(cause)[:300]}"
