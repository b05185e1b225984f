"""Checks of what others measure: Prometheus, and the status pages of upstreams."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ops.checks.base import Check, Place
from ops.checks.http import AskedUrl, HeaderName, short
from ops.secrets import Secret
from ops.services import AbsolutePath


class Metric(Check):
    """An expression of Prometheus (https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries).

    No value, NaN and an error of the query are all unknown. Of several series each must hold, and the worst is told.

    Args:
        url: of the server, without ``/api``.
        query: in PromQL; one that gives a number or an instant vector.
        at_most: the largest value that passes.
        at_least: the smallest.
        warn: beyond this value, on the way to the limit, it is a warning.
        unit: stands behind the values, such as ``" %"``.
        headers: sent along; a value may be a secret.
        ca_file: certificates to trust beside the system's; on the runner.
    """

    kind: Literal["metric"] = "metric"
    place: ClassVar[Place] = Place.RUNNER

    url: AskedUrl
    query: Annotated[str, Field(min_length=1)]
    at_most: float | None = None
    at_least: float | None = None
    warn: float | None = None
    unit: str = ""
    headers: dict[HeaderName, Secret] = Field(default_factory=dict)
    ca_file: AbsolutePath | None = None

    def subject(self) -> str:
        """See ``Check``."""
        return self.query.replace(":", " ")[:60].strip()

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("write one of at_most=… and at_least=…")
        if self.warn is not None and (
            self.warn >= self.at_most if self.at_most is not None else self.warn <= (self.at_least or 0.0)
        ):
            raise ValueError("warn=… must come before the limit on the way to it")
        return self


class Upstream(Check):
    """The status page of somebody whom we depend on, in the format of Statuspage (``/api/v2/summary.json``).

    ``none`` passes, ``minor`` and ``maintenance`` warn, ``major`` and ``critical`` fail. Of a component
    ``operational`` passes, ``degraded_performance`` and ``under_maintenance`` warn, an outage fails, a partial one as
    well.

    Args:
        url: of the page, such as ``https://www.cloudflarestatus.com``.
        components: those that count, by name, each a result of its own; none: the page's own indicator.
        ca_file: certificates to trust beside the system's; on the runner.
    """

    kind: Literal["upstream"] = "upstream"
    place: ClassVar[Place] = Place.RUNNER

    url: AskedUrl
    components: tuple[str, ...] = ()
    ca_file: AbsolutePath | None = None

    def subject(self) -> str:
        """See ``Check``."""
        return f"upstream {short(self.url)}"[:60]
