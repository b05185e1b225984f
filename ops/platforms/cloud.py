"""What the clouds have in common: they switch all at once, and may answer in any shape."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ops.errors import PlatformUnreachable
from ops.platforms.base import Platform


class CloudPlatform(Platform):
    """A service on a cloud as a whole.

    What an answer lacks, or has in another shape than was agreed, is one line to the operator, whichever question it
    was the answer to.
    """

    cloud: str
    """Whose it is, in words."""
    pause = 1.0
    page = 1000

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in Platform.__abstractmethods__:
            setattr(cls, name, _in_words(getattr(cls, name)))

    @property
    def rolls(self) -> bool:
        """See ``Platform``."""
        return False


def _in_words(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def inner(self: CloudPlatform, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise PlatformUnreachable(
                f"{self.cloud} answered in a shape that was not agreed ({type(error).__name__}: {error})",
                "Is that its API? Look at its own console for what was done",
            ) from error

    return inner
