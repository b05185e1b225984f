"""A run's record as a report for people, in Markdown."""

from __future__ import annotations

from typing import Any

from ops import clock
from ops.record import Run, Step


def report(run: Run) -> str:
    """What was done and why, from which version to which, with what impact, how it was verified, what is left to do."""
    title = f"# {run.deploy} of {run.environment}: {run.result or 'unfinished'}"
    rows = [
        ["Run", f"`{run.id}`"],
        ["Reason", run.reason or "not given"],
        ["Who", run.who],
        ["Started", run.started],
        ["Finished", run.finished or "never: it was killed, or goes on"],
        ["Total", "not known" if run.seconds is None else f"{clock.age(run.seconds)} ({run.seconds:g} s)"],
        ["Versions", "; ".join(_versions(run)) or "not known"],
        ["Impact", "; ".join(_impact(run))],
        ["Verification", "; ".join(_verification(run)) or "none by this run"],
        ["Options", ", ".join(f"`{name}={value}`" for name, value in run.arguments.items()) or "none"],
        ["Tool", f"pyinfra-ops {run.version}{f', directory at {run.commit}' if run.commit else ''}"],
    ]
    steps = [
        [
            one.operation,
            one.host,
            one.words,
            one.outcome or "unfinished",
            "" if one.seconds is None else f"{one.seconds:g}",
        ]
        for one in run.steps
    ]
    facts = [[name, said(value)] for name, value in run.facts.items()]
    lines = [title, "", *_table(["", ""], rows)]
    lines += ["## Steps", "", *_table(["operation", "host", "what", "outcome", "seconds"], steps)]
    lines += ["## What is known", "", *_table(["fact", "value"], facts)] if facts else []
    lines += ["## Follow-ups", "", *(f"- [ ] {one}" for one in _follow_ups(run))]
    return "\n".join(lines) + "\n"


def _versions(run: Run) -> list[str]:
    """From which release to which, and from which migration."""
    releases = run.facts.get("releases", {})
    found = [f"{service}: `{one['from'] or 'unknown'}` → `{one['to']}`" for service, one in releases.items()]
    migrations = run.facts.get("migrations")
    if migrations:
        done = [f"then {_quoted(migrations['applied'])}"] if migrations.get("applied") else []
        done += [f"undone: {_quoted(migrations['undone'])}"] if migrations.get("undone") else []
        found.append(f"database: `{migrations['from'] or 'none'}`, {', '.join(done)}")
    if run.facts.get("kept"):
        found.append(
            f"database: restored from `{run.facts.get('backup')}`, the one before is kept as `{run.facts['kept']}`"
        )
    return found


def _quoted(names: list[str]) -> str:
    return ", ".join(f"`{one}`" for one in names)


def _impact(run: Run) -> list[str]:
    """What was changed where, as far as steps tell; who noticed it is for people to say."""
    changed = [one for one in run.steps if one.words]
    hosts = sorted({one.host for one in changed})
    counted = f"{len(changed)} change{'' if len(changed) == 1 else 's'} on {', '.join(hosts)}" if changed else "none"
    return [counted, *(f"{one.operation} {one.outcome} on {one.host}" for one in _wrong(run))]


def _verification(run: Run) -> list[str]:
    """Which steps looked, after the last one that changed something."""
    last = max((number for number, one in enumerate(run.steps) if one.words), default=-1)
    return [f"{one.operation} ({one.host}): {one.outcome}" for one in run.steps[last + 1 :]]


def _follow_ups(run: Run) -> list[str]:
    if run.result is None:
        return ["See whether it still runs; if it was killed, look how things are, and run it again"]
    left = [f"{one.operation} on {one.host}: {one.error or one.outcome}" for one in _wrong(run)]
    return left or ["None known to this run: add what people found"]


def _wrong(run: Run) -> list[Step]:
    return [one for one in run.steps if one.outcome in ("failed", "ignored", "interrupted")]


def said(value: Any) -> str:
    """A fact in words."""
    if isinstance(value, dict):
        return "; ".join(f"{name} {said(one)}" for name, one in value.items())
    return ", ".join(map(said, value)) if isinstance(value, list) else str(value)


def _table(headings: list[str], rows: list[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    return [*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows), ""]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
