"""Checks of what answers by HTTP: one request, or several that feed one another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from ops.checks.base import Check, Place
from ops.described import Described
from ops.secrets import Secret
from ops.services import AbsolutePath, Url

Code = Annotated[int, Field(ge=100, le=599)]
Path = Annotated[str, Field(min_length=1, description="a path of JMESPath, such as items[0].name or length(items)")]
PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")


def _that_can_be_asked(url: str) -> str:
    try:
        parts = urlsplit(url)
        named = parts.hostname and parts.port != 0
    except ValueError as error:
        raise ValueError(f"{url.partition('?')[0]} is no URL: {error}") from None
    if not named:
        raise ValueError("the URL names no host")
    if "{" in parts.netloc:
        raise ValueError("the URL's host must be written out")
    if "@" in parts.netloc:
        raise ValueError('URLs are shown: write headers={"Authorization": secret("…")} in place of a password')
    return url


def _that_can_be_sent(header: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", header):
        raise ValueError(f"{header!r} can be no header's name")
    return header


def _that_can_be_replaced(name: str) -> str:
    if not PLACEHOLDER.fullmatch(f"{{{name}}}"):
        raise ValueError(f"{name!r} is no name for a value: lower-case letters, digits and _")
    return name


AskedUrl = Annotated[Url, AfterValidator(_that_can_be_asked)]
HeaderName = Annotated[str, AfterValidator(_that_can_be_sent)]
Saved = Annotated[str, AfterValidator(_that_can_be_replaced)]


class Request(Described):
    """A request by HTTP, and what its answer must be.

    Paths into the JSON of the answer are JMESPath (https://jmespath.org/specification.html). Proxies are not used: the
    worker's environment names none.

    Args:
        url: where to.
        method: of the request.
        headers: sent along; a value may be a secret.
        body: sent along; what is no text is sent as JSON.
        status: the codes that pass; none: 200 to 299, or with ``redirects_to`` 300 to 399.
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

    url: AskedUrl
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    headers: dict[HeaderName, Secret] = Field(default_factory=dict)
    body: str | dict[str, Any] | list[Any] | None = None
    status: tuple[Code, ...] = ()
    equals: dict[Path, Any] = Field(default_factory=dict)
    not_empty: tuple[Path, ...] = ()
    empty: tuple[Path, ...] = ()
    at_least: dict[Path, float] = Field(default_factory=dict)
    at_most: dict[Path, float] = Field(default_factory=dict)
    text: str | None = None
    header: dict[HeaderName, str] = Field(default_factory=dict)
    redirects_to: str | None = None
    ca_file: AbsolutePath | None = None

    @property
    def paths(self) -> list[str]:
        """All paths into the JSON."""
        return [*self.equals, *self.not_empty, *self.empty, *self.at_least, *self.at_most]

    @property
    def label(self) -> str:
        """What it asks, for people."""
        return f"{self.method} {urlsplit(self.url).path or '/'}"

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        require_paths(self.paths)
        if self.method == "HEAD" and (self.paths or self.text is not None):
            raise ValueError("an answer to HEAD has no body that could be looked into")
        if any(isinstance(each, Secret) for each in _leaves(self.body)):
            raise ValueError('secrets in a body are given by name: HttpFlow(secrets={"name": …}, …) with {name} in it')
        return self


class Http(Request, Check):
    """One request, asked once or several times.

    The first try opens the connection, so its time includes finding the name, TCP and TLS, as for a new visitor; the
    others go over the same connection as long as the server keeps it. The 95th percentile is by nearest rank: of 20
    tries it is the second slowest, so that the first, or one blip, does not decide. ``within`` holds for all of them.

    Args:
        within: seconds in which each answer must be there, whole.
        tries: how often it is asked, one after the other; all within ``timeout``.
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
    def _can_be_measured(self) -> Self:
        if self.certificate is not None and not self.url.startswith("https://"):
            raise ValueError("certificate=… needs an https:// URL")
        if self.p95 is not None and self.tries < 20:
            raise ValueError(
                "p95=… needs tries=…, at least 20: of fewer it is the slowest, for which there is within=…"
            )
        return self


class HttpStep(Request):
    """One request of several that feed one another.

    ``{name}`` stands for what an earlier step saved, or for one of the flow's secrets: in the path and the query of the
    URL, in the headers, the body, ``text`` and the values of ``equals``. A text of a JSON body that is ``{name}`` and
    nothing else becomes the saved value as it is, a number say; elsewhere it is its text.

    Args:
        save: names, and the paths into the answer where their values are.
        wait: seconds for which it is asked again until it is as it must be; none: once.
        cleanup: whether it is asked in the end whatever became of the others; 404 and 410 are as
            good: there may be nothing to clean up.
    """

    save: dict[Saved, Path] = Field(default_factory=dict)
    wait: Annotated[float, Field(gt=0)] | None = None
    cleanup: bool = False

    @property
    def needs(self) -> set[str]:
        """The names that stand in it."""
        # A secret from elsewhere is not looked up to see whether there is a name in it.
        headers = [value.reveal() for value in self.headers.values() if value.given]
        texts = [
            each for each in _leaves([self.url, self.body, self.text, self.equals, headers]) if isinstance(each, str)
        ]
        return {name for text in texts for name in PLACEHOLDER.findall(text)}

    @field_validator("save")
    @classmethod
    def _saved_paths_can_be_read(cls, save: dict[str, str]) -> dict[str, str]:
        require_paths(list(save.values()))
        return save


class HttpFlow(Check):
    """Requests that feed one another: write something, wait until it can be read, clean up.

    It is the one check that may change something: what its own steps say.

    Args:
        steps: in their order; those of ``cleanup`` are asked in the end, in any case. A quarter of ``timeout`` is kept
            for them, at most 15 seconds.
        secrets: by name, for ``{name}`` in the steps: a password in a body, say.
    """

    kind: Literal["http_flow"] = "http_flow"
    place: ClassVar[Place] = Place.RUNNER

    steps: Annotated[tuple[HttpStep, ...], Field(min_length=1)]
    secrets: dict[Saved, Secret] = Field(default_factory=dict)

    def subject(self) -> str:
        """See ``Check``."""
        return " → ".join(step.label for step in self.steps)[:60]

    @property
    def main(self) -> list[HttpStep]:
        """The steps that must be as they should, in their order."""
        return [step for step in self.steps if not step.cleanup]

    @property
    def cleanup(self) -> list[HttpStep]:
        """Those that are asked after them."""
        return [step for step in self.steps if step.cleanup]

    @property
    def reserve(self) -> float:
        """Seconds of the timeout that are kept for cleaning up."""
        return min(self.timeout / 4, 15.0) if self.cleanup else 0.0

    @model_validator(mode="after")
    def _can_be_followed(self) -> Self:
        if not self.main:
            raise ValueError("there are only steps that clean up")
        known = set(self.secrets)
        for step in [*self.main, *self.cleanup]:
            if missing := sorted(step.needs - known):
                raise ValueError(f"{step.label} needs {{{missing[0]}}}, which no step before it saves; {_known(known)}")
            known |= set(step.save)
        waits = sum(step.wait or 0 for step in self.main)
        if waits > self.timeout - self.reserve:
            kept = f", of which {self.reserve:g} s are kept for cleaning up" if self.reserve else ""
            raise ValueError(f"its steps wait for {waits:g} s, and timeout is {self.timeout:g} s{kept}")
        return self


def short(url: str) -> str:
    """A URL for people: without the query, in which a token may stand."""
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}"[:60]


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


def _leaves(part: Any) -> Iterator[Any]:
    if isinstance(part, dict | list | tuple):
        for each in part.values() if isinstance(part, dict) else part:
            yield from _leaves(each)
    else:
        yield part


def _known(names: set[str]) -> str:
    return f"there are: {', '.join(sorted(names))}" if names else "there are none"
