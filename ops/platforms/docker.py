"""Containers of Docker, by its command line; with a compose project also their releases, which are tags."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from shlex import quote

from ops.errors import ReleaseMissing, ServiceError, ServiceMissing
from ops.platforms import crash_loop, settings
from ops.platforms.base import Instance, Platform, Release, State, Status
from ops.platforms.shell import Shell, must, to_the_end
from ops.services import Docker

_LEDGER = "served.log"
"""Lines of time and tag, in order: what was activated here, and when."""
_STATES = {
    "created": State.STOPPED,
    "running": State.RUNNING,
    "paused": State.STOPPED,
    "restarting": State.FAILED,
    "removing": State.STOPPED,
    "dead": State.FAILED,
}
_STOPPED = ("0", "137", "143")
"""Exit codes of a container that was told to stop: Docker does not keep whether it was. Out of memory is told apart."""
_STATE = "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.StartedAt}}"
_SHOWN = _STATE + " {{.RestartCount}} {{.Config.Image}}"
_TAG = "s/^(export +)?TAG=[\"']?([^\"' #]*).*$/tag \\2/p"
"""The last line counts, as Compose reads such a file."""
_PATIENCE = 120


class DockerPlatform(Platform):
    """A service in containers on one host.

    Args:
        service: its description.
        shell: on the host.
    """

    def __init__(self, service: Docker, shell: Shell) -> None:
        self._service = service
        self._shell = shell
        self._containers = service.containers or (service.name,)
        self._docker = quote(service.command)
        self._project = (service.compose or "").rstrip("/")

    def status(self) -> Status:
        """See ``Platform``."""
        return self.overview()[0]

    def overview(self) -> tuple[Status, list[Release]]:
        """See ``Platform``."""
        script = f"{crash_loop.NOW}{self._docker} version --format 'engine {{{{.Server.Version}}}}'\n"
        for name in self._containers:
            script += f"shown=$({self._docker} inspect -f {quote(_SHOWN)} {self._id(name)}) || gone=yes\n"
            script += f'echo "container {name} $shown"\n'
        if self._project:
            # A service that was never started has no container.
            script += (
                f"[ -z \"$gone\" ] || {self._compose('config --services')} | sed 's/^/service /'\n{self._listed()}"
            )
        ran = self._shell.run(script)
        if not re.search(r"^engine \d", ran.out, re.MULTILINE):
            raise ServiceError(f"{self._shell.host}: Docker does not answer: {ran.said}",
                               "Does it run, and may the user that connects use it?")  # fmt: skip
        instances = tuple(self._instance(name, ran.out) for name in self._containers)
        tag, since, served = _kept(ran.out)
        return Status(instances, tag, served.get(tag, since) if tag else None), self._releases(ran.out)

    def _instance(self, name: str, printed: str) -> Instance:
        found = re.search(rf"^container {re.escape(name)} (\w+) (\d+) (\w+) (\S+) (\d+) (\S+)$", printed, re.MULTILINE)
        if not found:
            if re.search(rf"^service {re.escape(name)}$", printed, re.MULTILINE):
                return Instance(name, State.STOPPED)
            raise ServiceMissing(
                f"{self._shell.host}: Docker has no container {name}", "Look at containers= in the inventory"
            )
        status, code, memory, started, restarts, image = found.groups()
        ended = State.STOPPED if code in _STOPPED and memory == "false" else State.FAILED
        state = _STATES.get(status, ended)
        since = datetime.fromisoformat(started) if state is State.RUNNING else None
        if since and crash_loop.in_one(int(restarts), since, crash_loop.now(printed)):
            state, since = State.FAILED, None
        of_ours, _, tag = image.rpartition(":")
        release = tag if since and of_ours == self._service.image else None
        return Instance(name, state, since, release, int(restarts))

    def releases(self) -> list[Release]:
        """See ``Platform``."""
        if not self._project:
            return []
        return self._releases(must(self._shell, f"set -e\n{self._listed()}", "the releases cannot be read",
                                   "Look at image= and compose= in the inventory"))  # fmt: skip

    def _releases(self, printed: str) -> list[Release]:
        tag, since, served = _kept(printed)
        if tag and since:
            served.setdefault(tag, since)
        # Docker lists the newest image first, and sorting keeps that order among those that never served.
        tags = [each for each in re.findall(r"^image (\S+)$", printed, re.MULTILINE) if each != "<none>"]
        began = datetime.min.replace(tzinfo=UTC)
        tags.sort(key=lambda each: (each == tag, served.get(each, began)), reverse=True)
        return [Release(each, served.get(each)) for each in tags]

    def restart(self, instance: str) -> None:
        """See ``Platform``."""
        anew = self._compose(f"up -d --no-deps --no-build --force-recreate {quote(instance)}")
        self._do("restart", instance, anew if self._project else f"{self._docker} restart {quote(instance)}")

    def start(self, instance: str) -> None:
        """See ``Platform``."""
        if self.status().of(instance).state is State.RUNNING:
            return
        anew = self._compose(f"up -d --no-deps --no-build {quote(instance)}")
        self._do("start", instance, anew if self._project else f"{self._docker} start {quote(instance)}")

    def stop(self, instance: str) -> None:
        """See ``Platform``."""
        at_once = self._compose(f"stop {quote(instance)}")
        self._do("stop", instance, at_once if self._project else f"{self._docker} stop {quote(instance)}")

    def _do(self, verb: str, instance: str, script: str) -> None:
        must(self._shell, to_the_end(script), f"{instance} could not be told to {verb}",
             "Look at the container's name, and at what Docker says of it", _PATIENCE)  # fmt: skip

    def activate(self, release: str) -> bool:
        """See ``Platform``."""
        if not self._project:
            raise ServiceError(f"{self._service.name} has no releases", "Write compose=… in the inventory")
        ids = [one.id for one in self.releases()]
        if release not in ids:
            raise ReleaseMissing.among(f"{self._service.image} on {self._shell.host}", release, ids)
        before = self.status()
        if before.release == release:
            return False
        lines = [f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {release}"]
        if before.release and before.since:
            # What served before is written down too: it may have been put there by hand.
            lines.insert(0, f"{before.since:%Y-%m-%dT%H:%M:%SZ} {before.release}")
        # The file holds secrets: the new one is made with the old one's rights, and takes its place at once. It may be
        # a link, and hold bytes that are no text here.
        script = (
            f"set -e\ncd {quote(self._project)}\n: >> .env\n: >> {_LEDGER}\n"
            'old=$(readlink -f .env)\nnew=$old.new.$$\ncp -p "$old" "$new"\n'
            f'{{ LC_ALL=C awk \'!/^(export +)?TAG=/\' "$old" && echo {quote(f"TAG={release}")}; }} > "$new" && '
            'mv -T "$new" "$old" || { rm -f "$new"; exit 1; }\n'
        )
        for line in lines:
            script += f"grep -qxF {quote(line)} {_LEDGER} || echo {quote(line)} >> {_LEDGER}\n"
        must(self._shell, to_the_end(script), f"{self._project}/.env cannot be changed",
             "Give the user that connects the right to write there")  # fmt: skip
        return True

    def logs(self, since: datetime | None = None, lines: int = 100, instance: str | None = None) -> list[str]:
        """See ``Platform``."""
        after = f" --since {since.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}" if since else ""
        script = "".join(
            f"{self._docker} logs -t -n {lines}{after} {self._id(name)} 2>&1\n"
            for name in ([instance] if instance else self._containers)
        )
        # Each line begins with its time.
        found = sorted(line for line in self._shell.run(script).out.splitlines() if re.match(r"\d{4}-", line))
        return found[-lines:]

    def missing(self, names: list[str]) -> list[str]:
        """See ``Platform``."""
        return settings.missing(self._shell, self._service, names)

    def _id(self, name: str) -> str:
        """A container, in the words of a script; compose gives it a name of its own."""
        if not self._project:
            return quote(name)
        labels = {"service": name, "project.working_dir": self._project}
        filters = " ".join(quote(f"--filter=label=com.docker.compose.{label}={is_}") for label, is_ in labels.items())
        return f"$({self._docker} ps -aq {filters} | head -n 1)"

    def _compose(self, words: str) -> str:
        return f"( cd {quote(self._project)} && {self._docker} compose {words} )"

    def _listed(self) -> str:
        """Prints the images, and what ``_kept`` reads."""
        return (
            f"{self._docker} image ls --format 'image {{{{.Tag}}}}' {quote(self._service.image)}\n"
            f"cd {quote(self._project)}\n[ ! -f .env ] || {{ stat -c 'since %Y' .env; "
            f"sed -nE {quote(_TAG)} .env; }}\n[ ! -f {_LEDGER} ] || sed 's/^/served /' {_LEDGER}\n"
        )


def _kept(printed: str) -> tuple[str | None, datetime | None, dict[str, datetime]]:
    """The tag that is to serve, since when it is the one, and when each began to serve."""
    tags = re.findall(r"^tag (\S+)$", printed, re.MULTILINE)
    since = re.search(r"^since (\d+)$", printed, re.MULTILINE)
    served = {tag: datetime.fromisoformat(time) for time, tag in re.findall(r"^served (\S+) (\S+)$", printed, re.M)}
    return tags[-1] if tags else None, datetime.fromtimestamp(int(since[1]), UTC) if since else None, served
