"""What can lose data on a protected environment is only done when its name is typed once more."""

from __future__ import annotations

from ops.environment import Environment
from ops.errors import ConfigurationError


def confirmed(environment: Environment, given: str | int | None) -> None:
    """See that what was typed names the environment, when that is protected.

    Args:
        environment: to be changed.
        given: what ``--data confirm=…`` says, of which pyinfra makes a number if it looks like one; None: nothing.

    Raises:
        ConfigurationError: it is protected, and another name or none was given.
    """
    if not environment.protected or str(given) == environment.name:
        return
    given_instead = f", and confirm={given} is not its name" if given is not None else ""
    raise ConfigurationError(
        f"the environment {environment.name} is protected{given_instead}",
        f"If you mean it, add --data confirm={environment.name}",
    )
