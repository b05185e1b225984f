"""Operations on the queues of Cloudflare: pause, resume, purge."""

from __future__ import annotations

from pyinfra.api.operation import operation

from ops import output, runner
from ops.errors import ConfigurationError
from ops.platforms.queues import CloudflareQueues
from ops.steps import Step, Steps, on_runner, plan


@operation()
@on_runner
def paused(queue: str, paused: bool = True) -> Steps:
    """
    Pause a queue's delivery, or let it go on; messages are taken in all the while. No change where it is so already.

    + queue: its name
    + paused: whether nothing is to be delivered

    **Example:**

    .. code:: python

        queues.paused(name="Hold the orders", queue="orders")
    """
    if not isinstance(paused, bool):
        raise ConfigurationError(f"paused={paused} is neither true nor false", "Write paused=true, or paused=false")
    cloud, queue = queues(), str(queue)
    if cloud.paused(queue) is paused:
        output.say(f"the queue {queue} is {'paused' if paused else 'being delivered'} already")
        return
    waiting = cloud.backlog(queue).messages
    words = f"{'Pause' if paused else 'Resume'} the queue {queue}, in which {waiting:,} messages wait"
    plan(words)
    yield Step(words, lambda: cloud.set_paused(queue, paused))


@operation()
@on_runner
def purge(queue: str, confirm: str | None = None) -> Steps:
    """
    Delete every message of a queue for good. No change where it is empty.

    + queue: its name
    + confirm: the environment's name, without which nothing is deleted
    """
    cloud = queues()
    waiting = cloud.backlog(queue).messages
    if not waiting:
        output.say(f"the queue {queue} is empty already")
        return
    here = runner.environment().name
    words = f"Delete all {waiting} messages of the queue {queue} for good"
    if confirm != here:
        raise ConfigurationError(
            f"purging the queue {queue} would delete its {waiting} messages for good", f"If so, add confirm={here}"
        )
    plan(words)
    yield Step(words, lambda: cloud.purge(queue))


def queues() -> CloudflareQueues:
    """The queues of the environment at hand.

    Raises:
        ConfigurationError: it describes none.
    """
    here = runner.environment()
    if here.queues is None:
        raise ConfigurationError(
            f"the environment {here.name} describes no queues",
            'Write queues=Queues(account="…", token=secret("CLOUDFLARE_API_TOKEN")) in its inventory',
        )
    return CloudflareQueues(here.queues)
