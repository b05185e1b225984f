"""What waits in a queue of Cloudflare's, for how long, and whether it is delivered at all."""

from __future__ import annotations

from collections.abc import Iterable

from ops import clock
from ops.checks import Backlog, Outcome, Result
from ops.checks.base import seconds
from ops.checks.limits import at_most
from ops.checks.result import unknown
from ops.errors import ConfigurationError, ServiceMissing
from ops.platforms.queues import CloudflareQueues
from ops.probes.around import Around


def ask(check: Backlog, at: Around) -> Iterable[Result]:
    """Its depth, the age of its oldest message, and whether it is paused."""
    described = at.environment.queues
    if described is None:
        raise ConfigurationError(
            f"the environment {at.environment.name} describes no queues",
            'Write queues=Queues(account="…", token=secret("CLOUDFLARE_API_TOKEN")) in its inventory',
        )
    queues = CloudflareQueues(described)
    try:
        backlog, paused = queues.backlog(check.queue), queues.paused(check.queue)
    except ServiceMissing as missing:
        return [Result(Outcome.FAIL, missing.problem, hint=missing.hint)]
    hint = "Look at its consumers"
    found = [at_most(backlog.messages, check.at_most, unit=" messages", what="depth", hint=hint)]
    if check.oldest is not None and backlog.messages and backlog.oldest is None:
        found.append(unknown("for how long the oldest has waited is not told", "Ask again", what="oldest"))
    elif check.oldest is not None:
        waited = backlog.oldest.total_seconds() if backlog.oldest else 0.0
        late = waited > (seconds(check.oldest) or 0)
        value = clock.age(waited) if backlog.oldest else "none waits"
        outcome = Outcome.FAIL if late else Outcome.PASS
        found.append(Result(outcome, value, f"≤ {check.oldest}", hint if late else "", "oldest"))
    wrong = paused and not check.paused
    resume = f"deploys/treat.py --data resume={check.queue}"
    found.append(
        Result(
            Outcome.FAIL if wrong else Outcome.PASS,
            "paused" if paused else "delivered",
            "" if check.paused else "delivered",
            f"Type: pyinfra {at.environment.name} {resume}" if wrong else "",
            "delivery",
        )
    )
    return found
