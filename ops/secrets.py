"""Secrets: named in the inventory, found outside it, shown nowhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from ops.errors import ConfigurationError, SecretMissing

_GIVEN = "given in the inventory"


class Secret:
    """A value that is looked up when it is first used and that no print, log or exception shows.

    Args:
        name: what messages call it.
        find: gives the value; called once, when the value is first needed.
    """

    def __init__(self, name: str, find: Callable[[], str]) -> None:
        self.name = name
        self._find = find
        self._value: str | None = None

    def reveal(self) -> str:
        """The value itself.

        Raises:
            SecretMissing: it is nowhere to be found.
        """
        if self._value is None:
            self._value = self._find()
        return self._value

    @property
    def given(self) -> bool:
        """Whether it stands in the inventory as it is."""
        return self.name == _GIVEN

    @property
    def known(self) -> str | None:
        """The value, if it has been looked up already."""
        return self._value

    def __repr__(self) -> str:
        return f"secret({self.name!r})"

    __str__ = __repr__

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._accept,
            serialization=core_schema.plain_serializer_function_ser_schema(repr, when_used="json"),
        )

    @classmethod
    def _accept(cls, value: Any) -> Secret:
        if isinstance(value, Secret):
            return value
        if isinstance(value, str):
            return cls(_GIVEN, lambda: value)
        raise ValueError('write secret("NAME")')


def revealed(part: Any, missing: str | None = None) -> Any:
    """A part of a description with its secrets in clear, for a request that travels on standard input.

    Args:
        part: of a description.
        missing: what stands for a secret that is nowhere to be found; None: that is an error.

    Raises:
        SecretMissing: one of them is nowhere to be found.
    """
    if isinstance(part, Secret):
        try:
            return part.reveal()
        except SecretMissing:
            if missing is None:
                raise
            return missing
    if isinstance(part, BaseModel):
        # A None that is written has a meaning where the default is another.
        given = part.model_fields_set
        return {name: revealed(value, missing) for name, value in part if value is not None or name in given}
    if isinstance(part, dict):
        return {name: revealed(value, missing) for name, value in part.items()}
    if isinstance(part, list | tuple):
        return [revealed(each, missing) for each in part]
    return part


def named(part: Any) -> dict[str, Secret]:
    """The secrets that a description names, by their names; not those that stand in it as they are."""
    return {one.name: one for one in _within(part) if not one.given}


def hidden(document: Any, part: Any) -> Any:
    """A document without the secrets of a description: whatever its texts quote of them becomes ``***``.

    Secrets that were never looked up cannot be in it; one of fewer than four characters is let through.
    """
    values = sorted({value for value in _known(part) if len(value) >= 4}, key=len, reverse=True)

    def clean(found: Any) -> Any:
        if isinstance(found, str):
            for value in values:
                found = found.replace(value, "***")
            return found
        if isinstance(found, dict):
            return {clean(key): clean(value) for key, value in found.items()}
        return [clean(each) for each in found] if isinstance(found, list | tuple) else found

    return clean(document)


def _known(part: Any) -> Iterator[str]:
    """The secrets of a description that have been looked up, and the passwords within those that are URLs."""
    for one in _within(part):
        if one.known:
            yield one.known
            # A server may quote the token of a header without the word before it.
            if token := re.fullmatch(r"(?:Bearer|Basic|Token|ApiKey) +(\S+)", one.known, re.IGNORECASE):
                yield token[1]
            with suppress(ValueError):
                password = urlsplit(one.known).password or ""
                yield password
                yield unquote(password)


def _within(part: Any) -> Iterator[Secret]:
    """Every secret of a description."""
    if isinstance(part, Secret):
        yield part
    elif isinstance(part, BaseModel):
        for _, value in part:
            yield from _within(value)
    elif isinstance(part, dict | list | tuple):
        for each in part.values() if isinstance(part, dict) else part:
            yield from _within(each)


def secret(name: str, *, command: str | None = None, env_file: str = ".env") -> Secret:
    """Name a secret. It is looked for when it is first used, in this order:

    the environment variable NAME; the file that NAME_FILE names; the line NAME=… of ``.env``; what ``command`` prints.

    The two variables are taken out of this process's environment at once, so that no child inherits them.

    Args:
        name: the name of the environment variable.
        command: a command line that prints the secret, such as ``op read op://prod/db/password``.
        env_file: a file of NAME=value lines, mode 0600, read where pyinfra was typed.
    """
    from_variable, from_file = _taken(name), _taken(f"{name}_FILE")

    def find() -> str:
        value = (
            from_variable or _first_line(name, from_file) or _line_of(name, Path(env_file)) or _output_of(name, command)
        )
        if not value:
            raise SecretMissing(
                f"the secret {name} is missing",
                f"Set it as environment variable {name}, as a file named by {name}_FILE, or in {env_file}",
            )
        return value

    return Secret(name, find)


_variables: dict[str, str] = {}


def _taken(name: str) -> str | None:
    """A variable's value, out of the environment from now on; the same secret may be named twice."""
    if name in os.environ:
        _variables[name] = os.environ.pop(name)
    return _variables.get(name)


def _first_line(name: str, file: str | None) -> str | None:
    if file is None:
        return None
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise SecretMissing(
            f"the secret {name} cannot be read: {file}: {error.strerror}", f"Check {name}_FILE"
        ) from None


def _line_of(name: str, file: Path) -> str | None:
    if not file.is_file():
        return None
    if file.stat().st_mode & 0o077:
        raise ConfigurationError(f"{file} can be read by others", f"Type: chmod 600 {file}")
    from dotenv import dotenv_values

    try:
        return dotenv_values(file, interpolate=False).get(name)
    except OSError as error:
        raise SecretMissing(f"the secret {name} cannot be read: {file}: {error.strerror}") from None


def _output_of(name: str, command: str | None) -> str | None:
    if command is None:
        return None
    try:
        done = subprocess.run(
            shlex.split(command),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError) as error:
        failure = getattr(error, "strerror", None) or f"exit code {getattr(error, 'returncode', 'none, timed out')}"
        raise SecretMissing(
            f"the secret {name} cannot be read: {shlex.split(command)[0]}: {failure}",
            "Run the command by hand",
        ) from None
    return done.stdout.strip()
