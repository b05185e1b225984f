"""What the parts of an inventory's description have in common: a mistake in one is one clear line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ops.errors import ConfigurationError

_PACKAGE = f"{Path(__file__).parent}/"
Name = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", description="1 to 40 lower-case letters, digits, - and _"),
]


class Described(BaseModel):
    """A part of the description: fixed once written, and with no field that is not known.

    Raises:
        ConfigurationError: one line that names file, field and what is allowed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)

    def __init__(self, *values: Any, **fields: Any) -> None:
        if values:
            raise ConfigurationError(
                f"{_inventory_line()}: {type(self).__name__} takes no value without a name",
                f"Its fields are: {_fields(type(self))}",
            )
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise ConfigurationError(*_explain(type(self), error)) from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.model_dump().items())})"

    __str__ = __repr__


def _explain(model: type[BaseModel], error: ValidationError) -> tuple[str, str]:
    """The first mistake, as (what and where, what is allowed)."""
    mistakes = error.errors(include_input=False, include_url=False)
    # A misspelt field is often the reason why another is missing.
    first = next((mistake for mistake in mistakes if mistake["type"] == "extra_forbidden"), mistakes[0])
    field = ".".join(str(part) for part in first["loc"])
    where = f"{_inventory_line()}: {model.__name__}"
    allowed = _fields(model)
    if first["type"] == "extra_forbidden":
        return f"{where} has no field '{field}'", f"Its fields are: {allowed}"
    if first["type"] == "missing":
        return f"{where} needs the field '{field}'", f"Its fields are: {allowed}"
    text = str(first["msg"]).removeprefix("Value error, ")
    known = model.model_fields.get(field)
    if first["type"] == "string_pattern_mismatch" and known is not None and known.description:
        text = f"it must be {known.description}"
    return f"{where}{f', field {field!r}' if field else ''}: {text}", ""


def _fields(model: type[BaseModel]) -> str:
    return ", ".join(name for name in model.model_fields if name != "kind")


def _inventory_line() -> str:
    """File and line of the innermost caller that is neither of this package nor of pydantic."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        file = frame.f_code.co_filename
        if not file.startswith(_PACKAGE) and "/pydantic" not in file:
            break
    return f"{frame.f_code.co_filename} line {frame.f_lineno}"
