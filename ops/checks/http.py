"""Checks of what answers by HTTP."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from ops.checks.base import Check, Place
from ops.described import Described
from ops.secrets import Secret
from ops.services import AbsolutePath, Url

Code = Annotated[int, Field(ge=100, le=599)]
Path = Annotated[str, Field(min_length=1, description="a path of JMESPath, such as items[0].name or length(items)")]


class Request(Described):
    """A request by HTTP, and what its answer must be.

    Paths into the JSON of the answer are JMESPath (https://jmespath.org/specification.html).

    Args:
        url: where to.
        method: of the request.
        headers: sent along; a value may be a secret.
        body: sent along; what is no text is sent as JSON.
        status: the codes that pass; none: 200 to 299, and with ``redirects_to`` 300 to 399.
        equals: paths, and the values that must be there.
        not_empty: paths where something must be: not null, no empty list, object or text.
        empty: paths where nothing must be.
        at_least: paths, and the smallest number that may be there.
        at_most: paths, and the largest.
        text: what must stand in the body.
        header: headers of the answer, and what must stand in each.
        redirects_to: how the target of the redirection must begin; redirections are never followed.
        ca_file: certificates to trust beside the system's; on the runner.
    """

    url: Url
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    headers: dict[str, Secret] = Field(default_factory=dict)
    body: str | dict[str, Any] | list[Any] | None = None
    status: tuple[Code, ...] = ()
    equals: dict[Path, Any] = Field(default_factory=dict)
    not_empty: tuple[Path, ...] = ()
    empty: tuple[Path, ...] = ()
    at_least: dict[Path, float] = Field(default_factory=dict)
    at_most: dict[Path, float] = Field(default_factory=dict)
    text: str | None = None
    header: dict[str, str] = Field(default_factory=dict)
    redirects_to: str | None = None
    ca_file: AbsolutePath | None = None

    @property
    def paths(self) -> list[str]:
        """All paths into the JSON."""
        return [*self.equals, *self.not_empty, *self.empty, *self.at_least, *self.at_most]

    @model_validator(mode="after")
    def _paths_can_be_read(self) -> Self:
        require_paths(self.paths)
        return self


class Http(Request, Check):
    """One request, asked once or several times.

    Args:
        within: seconds in which each answer must be there, whole.
        tries: how often it is asked, one after the other.
        p95: seconds in which 95 of 100 tries must be answered.
        certificate: days for which the certificate must still be valid, at least; none: it must be valid now.
    """

    kind: Literal["http"] = "http"
    place: ClassVar[Place] = Place.RUNNER

    within: Annotated[float, Field(gt=0)] | None = None
    tries: Annotated[int, Field(ge=1, le=1000)] = 1
    p95: Annotated[float, Field(gt=0)] | None = None
    certificate: Annotated[int, Field(ge=0)] | None = None

    def subject(self) -> str:
        """See ``Check``."""
        return short(self.url) if self.method == "GET" else f"{self.method} {short(self.url)}"

    @model_validator(mode="after")
    def _only_tls_has_a_certificate(self) -> Self:
        if self.certificate is not None and not self.url.startswith("https://"):
            raise ValueError("certificate=… needs an https:// URL")
        if self.p95 is not None and self.tries < 2:
            raise ValueError("p95=… needs tries=…, at least 2")
        return self


class HttpStep(Request):
    """One request of several that feed one another.

    ``{name}`` in the URL, the headers and the body stands for what an earlier step saved.

    Args:
        save: names, and the paths into the answer where their values are.
        wait: seconds for which it is asked again until it is as it must be; none: once.
        cleanup: whether it is asked in the end whatever became of the others; it may find nothing to clean up.
    """

    save: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", description="a name")], Path] = Field(
        default_factory=dict
    )
    wait: Annotated[float, Field(gt=0)] | None = None
    cleanup: bool = False

    @field_validator("save")
    @classmethod
    def _saved_paths_can_be_read(cls, save: dict[str, str]) -> dict[str, str]:
        require_paths(list(save.values()))
        return save


class HttpFlow(Check):
    """Requests that feed one another: write something, wait until it can be read, clean up.

    It is the one check that may change something: what its own steps say.

    Args:
        steps: in their order; those of ``cleanup`` are asked in any case.
    """

    kind: Literal["http_flow"] = "http_flow"
    place: ClassVar[Place] = Place.RUNNER

    steps: Annotated[tuple[HttpStep, ...], Field(min_length=1)]

    def subject(self) -> str:
        """See ``Check``."""
        return " → ".join(f"{step.method} {urlsplit(step.url).path or '/'}" for step in self.steps)[:60]


def short(url: str) -> str:
    """A URL for people: without the query, in which a token may stand."""
    parts = urlsplit(url)
    return f"{parts.hostname}{f'{chr(0x3A)}{parts.port}' if parts.port else ''}{parts.path}"[:60]


def require_paths(paths: list[str]) -> None:
    """See that JMESPath can read them.

    Raises:
        ValueError: one it cannot.
    """
    if paths:
        import jmespath
        from jmespath.exceptions import JMESPathError

        for path in paths:
            try:
                jmespath.compile(path)
            except JMESPathError as error:
                raise ValueError(f"{path!r} is no path of JMESPath: {str(error).splitlines()[0]}") from None
