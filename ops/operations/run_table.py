"""Runs as tables."""

from __future__ import annotations

from ops import clock
from ops.operations import table
from ops.record import Run
from ops.report import said


def runs(title: str, known: list[Run], width: int = table.WIDTH) -> str:
    """Runs as lines of text, at most ``width`` columns wide."""
    rows = [
        [
            run.id.removesuffix(f"-{run.deploy}"),
            run.deploy,
            run.who,
            run.result or "unfinished",
            _seconds(run.seconds),
            run.reason or "",
        ]
        for run in known
    ]
    headings = ["run", "deploy", "who", "result", "seconds", "reason"]
    remarks = [
        f"{run.id} failed: {step.operation} on {step.host}: {step.error}"
        for run in known[:1]
        for step in run.steps
        if run.result == "failed" and step.outcome == "failed"
    ]
    return _table(title, headings, rows, width) + "\n".join(remarks)


def steps(run: Run, width: int = table.WIDTH) -> str:
    """One run, and below it what it knows."""
    rows = [
        [step.operation, step.host, step.words, step.outcome or "unfinished", _seconds(step.seconds)]
        for step in run.steps
    ]
    began = f"{run.deploy} by {run.who} at {run.started}"
    title = f"{run.id}: {run.result or 'unfinished'}"
    remarks = [
        f"{began}, version {run.version}{f', commit {run.commit}' if run.commit else ''}",
        *([f"reason: {run.reason}"] if run.reason else []),
        *(f"{name}={value}" for name, value in run.arguments.items()),
        *(f"{step.operation} on {step.host}: {step.error}" for step in run.steps if step.error),
        *(f"{name}: {said(value)}" for name, value in run.facts.items()),
    ]
    if run.seconds is not None:
        remarks[0] += f", {clock.age(run.seconds)}"
    return _table(title, ["operation", "host", "what", "outcome", "seconds"], rows, width) + "\n".join(remarks)


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"


def _table(title: str, headings: list[str], rows: list[list[str]], width: int) -> str:
    # What is copied is not cut; the rest goes over as many lines as it needs.
    columns = {
        heading: {
            "justify": "right" if heading == "seconds" else "left",
            "no_wrap": heading in ("run", "result", "outcome", "seconds"),
            "overflow": "fold",
        }
        for heading in headings
    }
    return table.rendered(title, columns, rows, width, "there is none")
