"""Facts about the runner."""

from __future__ import annotations

from pyinfra.api.facts import FactBase
from typing_extensions import override


class Installed(FactBase[bool]):
    """Whether a version of the worker is installed: it gets its name when it is whole."""

    @override
    @staticmethod
    def default() -> bool:
        return False

    @override
    def command(self, version: str) -> str:
        return f'test -e "$HOME/.local/share/pyinfra-ops/{version}" && echo yes || echo no'

    @override
    def process(self, output: list[str]) -> bool:
        return output == ["yes"]
