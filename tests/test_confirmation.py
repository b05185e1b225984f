"""A protected environment is named once more."""

from __future__ import annotations

import pytest

from ops import Directory, Environment, Postgres
from ops.confirmation import confirmed
from ops.errors import ConfigurationError


def environment(protected: bool, name: str = "prod") -> Environment:
    database = Postgres(host="127.0.0.1", database="shop")
    return Environment(name=name, protected=protected, database=database, store=Directory(path="/tmp/x"))


@pytest.mark.parametrize("given", [None, "", "yes", "Prod", "prod "])
def test_only_its_very_name_will_do(given):
    with pytest.raises(ConfigurationError, match=r"prod is protected.*add --data confirm=prod"):
        confirmed(environment(protected=True), given)


def test_its_name_will_do():
    confirmed(environment(protected=True), "prod")
    confirmed(environment(protected=True, name="42"), 42)


def test_what_is_not_protected_needs_none():
    confirmed(environment(protected=False), None)
