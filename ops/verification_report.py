"""The results of checks as a file: JUnit XML for pipelines, Markdown for people, JSON for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ops import clock
from ops.checks import Outcome, Result
from ops.checks.result import by_severity
from ops.errors import ConfigurationError

Writer = Callable[[str, Sequence[Result]], Path]
"""Takes the name of an environment and the results of its checks; answers with the file."""


def writer(file: str | int | float) -> Writer:
    """Who writes a report of the kind that a file's name says.

    Raises:
        ConfigurationError: there is no such kind, or no such directory.
    """
    path = Path(str(file))  # pyinfra makes a number of what looks like one
    kinds = {".xml": _junit, ".md": _markdown, ".json": _json}
    if path.suffix not in kinds:
        raise ConfigurationError(f"report={file} is of no kind that is known", "Let it end with .xml, .md or .json")
    if not os.path.isdir(path.parent):  # noqa: PTH112 (pathlib's raises where it cannot look)
        raise ConfigurationError(f"there is no directory {path.parent} for the report", "Make it first")

    def write(name: str, results: Sequence[Result]) -> Path:
        try:
            path.write_text(kinds[path.suffix](name, results), encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror}", "Look at the directory") from None
        return path

    return write


def _json(name: str, results: Sequence[Result]) -> str:
    document = {"environment": name, "time": clock.iso(clock.now()), "checks": [one.to_json() for one in results]}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _markdown(name: str, results: Sequence[Result]) -> str:
    lines = [f"# Checks of {name}, {clock.iso(clock.now())}", ""]
    lines += ["| outcome | check | where | value | limit | seconds | what to do |", "|---|---|---|---|---|---|---|"]
    for one in by_severity(results):
        cells = (one.outcome.value, one.name, one.where, one.value, one.limit, f"{one.seconds:.2f}", one.hint)
        lines.append(f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _junit(name: str, results: Sequence[Result]) -> str:
    """A warning passes, with its text in the output; unknown is an error, as a test that could not be run."""
    from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

    suite = TestSuite(name)
    for one in results:
        case = TestCase(one.full_name, f"{name}.{one.check}", one.seconds)
        said = f"{one.value} (must be {one.limit})" if one.limit else one.value
        if one.outcome is Outcome.FAIL:
            case.result = [Failure(said, "check")]
        elif one.outcome is Outcome.UNKNOWN:
            case.result = [Error(said, "unknown")]
        else:
            case.system_out = f"{one.outcome}: {said}"
        if one.hint and one.outcome.bad:
            case.system_err = one.hint
        suite.add_testcase(case)
    document = JUnitXml()
    document.add_testsuite(suite)
    text: str | bytes = document.tostring()  # type: ignore[no-untyped-call]
    return text if isinstance(text, str) else text.decode()
