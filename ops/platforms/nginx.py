"""nginx itself; its releases are versions of its main file."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from shlex import quote

from ops.errors import ReleaseMissing, ServiceError, ServiceMissing
from ops.platforms import processes, settings
from ops.platforms.base import Instance, Platform, Release, State, Status
from ops.platforms.directories import Directories, Known
from ops.platforms.shell import Ran, Shell, must, to_the_end
from ops.services import Nginx

_REFUSED, _BACK, _LOST, _BUSY = 71, 72, 73, 74
"""Exit codes of our scripts: refused by nginx -t, put back, could not be put back, somebody else is at it."""

# "-s reload" exits 0 whatever comes of it, so a reload is believed when all workers are others than before. Bound
# addresses are tried five times by nginx, and only what it says after that is its last word.
_FUNCTIONS = r"""
master() {
  pid=$(cat "$pidfile" 2>/dev/null)
  case $({ tr '\0' ' ' < "/proc/$pid/cmdline"; } 2>/dev/null) in "nginx: master process"*) echo "$pid" ;; esac
}
workers() {
  for each in $(cat /proc/[0-9]*/stat 2>/dev/null | sed -n "s/^\([0-9]*\) (.*) [A-Z] $1 .*/\1/p"); do
    case $({ tr '\0' ' ' < "/proc/$each/cmdline"; } 2>/dev/null) in
      "nginx: worker process is shutting down"*) ;;
      "nginx: worker process"*) echo "$each" ;;
    esac
  done
}
reload() {
  before=$(workers "$1"); size=$({ wc -c < "$log"; } 2>/dev/null || echo 0); tries=0
  kill -HUP "$1" || return 1
  while [ $tries -lt 100 ]; do
    now=" $(echo $(workers "$1")) "; left=
    for each in $before; do case $now in *" $each "*) left=yes ;; esac; done
    [ "$now" = "  " ] || [ -n "$left" ] || return 0
    said=$(tail -c "+$((size + 1))" "$log" 2>/dev/null | grep -F '[emerg]')
    case $said in
      *"still could not bind"*) break ;;
      *"Address already in use"*) ;;
      ?*) break ;;
    esac
    sleep 0.1; tries=$((tries + 1))
  done
  echo "$said" | head -n 1 >&2
  return 1
}
"""

_START = r"""
"$nginx" -c "$configuration" </dev/null || exit
tries=0; before=
while [ $tries -lt 100 ]; do
  now=$(workers "$(master)")
  [ -n "$now" ] && [ "$now" = "$before" ] && exit 0
  before=$now; sleep 0.1; tries=$((tries + 1))
done
echo "it has no workers after 10 seconds" >&2
exit 1
"""

# Connections get time to end; those that do not are cut.
_STOP = r"""
pid=$(master); [ -n "$pid" ] || exit 0
kill -QUIT "$pid"; tries=0
while [ -n "$(master)" ]; do
  [ $tries -ne 300 ] || kill -TERM "$pid"
  [ $tries -lt 400 ] || { echo "it still runs" >&2; exit 1; }
  sleep 0.1; tries=$((tries + 1))
done
"""

# The version is checked as a file beside the main one, because relative includes are looked for from there. The lock
# is on the directory itself.
_ACTIVATE = r"""
exec 9< "$versions" && flock -w 120 9 || exit 74
new=$configuration.new; old=$configuration.before
cp -p "$configuration" "$new" && cat "$versions/releases/$release" > "$new" || exit 1
"$nginx" -t -c "$new" || { rm -f "$new"; exit 71; }
rm -f "$new"
# It may be a link, as in a checked out directory: what it leads to is replaced.
file=$(readlink -f "$configuration")
cp -p "$file" "$old" && cp -p "$file" "$file.new" && cat "$versions/releases/$release" > "$file.new" || exit 1
mv "$file.new" "$file" || exit 1
pid=$(master)
if [ -n "$pid" ] && ! reload "$pid"; then
  cp -p "$old" "$file.new" && mv "$file.new" "$file"; rm -f "$old"
  reload "$pid" 2>/dev/null || exit 73
  exit 72
fi
rm -f "$old"
[ -z "$served" ] || grep -qxF "$served" "$versions/served.log" 2>/dev/null || echo "$served" >> "$versions/served.log"
echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $release" >> "$versions/served.log"
"""

# A version is known by what is in it; of those that are alike it is the one that was activated last.
_VERSIONS = r"""
cd "$versions" || exit
same=; last=
for each in releases/*; do
  [ -f "$each" ] || continue
  stat -c 'there %Y %n' "$each"
  ! cmp -s "$each" "$configuration" || same=${each#releases/}
done
if [ -f served.log ]; then
  sed 's/^/served /' served.log
  while read -r time id; do ! cmp -s "releases/$id" "$configuration" || last=$id; done < served.log
fi
echo "current $(stat -L -c %Y "$configuration") ${last:-${same:--}}"
"""


class NginxPlatform(Platform):
    """nginx on one host, one instance: its master with all workers.

    A restart is a reload, which cuts no connection.

    Args:
        service: its description.
        shell: on the host.
    """

    def __init__(self, service: Nginx, shell: Shell) -> None:
        self._service = service
        self._shell = shell
        self._directories = Directories(shell, service.versions)

    def _script(self, body: str, **values: str) -> str:
        service = self._service
        given = {
            "nginx": service.command,
            "configuration": service.configuration,
            "versions": service.versions,
            "pidfile": service.pid,
            "log": service.error_log,
            **values,
        }
        return "\n".join(f"{name}={quote(value)}" for name, value in given.items()) + f"\n{_FUNCTIONS}{body}"

    def status(self) -> Status:
        """See ``Platform``. Since when: since its workers are these."""
        return self.overview()[0]

    def overview(self) -> tuple[Status, list[Release]]:
        """See ``Platform``."""
        body = (
            '[ -f "$configuration" ] || { echo absent; exit 0; }\n'
            f"{processes.SCRIPT}"
            'pid=$(master); echo "master ${pid:--}"; [ -z "$pid" ] || began $(workers "$pid")\n'
            '[ ! -s "$pidfile" ] || echo pidfile\n'
            f'[ ! -d "$versions" ] || ( {_VERSIONS} )'
        )
        printed = must(self._shell, self._script(body), "nginx cannot be asked how it is")
        if printed.startswith("absent"):
            raise ServiceMissing(
                f"{self._shell.host} has no {self._service.configuration}", "Look at configuration= in the inventory"
            )
        began = processes.read(printed)
        if re.search(r"^master \d", printed, re.MULTILINE):
            state = State.RUNNING if began else State.STARTING
        else:
            # A master that ends in good order takes its file with it; what nginx -t leaves there is empty.
            state = State.FAILED if re.search("^pidfile$", printed, re.MULTILINE) else State.STOPPED
        since = max((process.since for process in began.values()), default=None)
        known = self._directories.read(printed)
        current = known.current
        instances = (Instance("nginx", state, since),)
        status = Status(instances, current.id, current.served) if current else Status(instances)
        return status, known.releases

    def releases(self) -> list[Release]:
        """See ``Platform``."""
        return self._known().releases

    def _known(self) -> Known:
        printed = must(
            self._shell,
            self._script(_VERSIONS),
            f"the versions in {self._service.versions} cannot be read",
            "Look at versions= in the inventory",
        )
        return self._directories.read(printed)

    def restart(self, instance: str) -> None:
        """See ``Platform``."""
        if self.status().of(instance).state is not State.RUNNING:
            self.start(instance)
            return
        body = f'"$nginx" -t -c "$configuration" || exit {_REFUSED}\nreload "$(master)" || exit {_BACK}'
        ran = self._shell.run(self._script(body), timeout=60)
        if ran.code:
            raise ServiceError(
                f"{self._shell.host}: nginx did not take up its configuration: {_reason(ran)}",
                f"It runs on with the one before. Mend {self._service.configuration}",
            )

    def start(self, instance: str) -> None:
        """See ``Platform``."""
        if self.status().of(instance).state is State.RUNNING:
            return
        ran = self._shell.run(self._script(_START))
        if ran.code:
            raise ServiceError(
                f"{self._shell.host}: nginx could not be started: {_reason(ran)}",
                f"Look at {self._service.configuration} and {self._service.error_log}",
            )

    def stop(self, instance: str) -> None:
        """See ``Platform``."""
        must(self._shell, self._script(_STOP), f"{instance} could not be stopped", timeout=90)

    def activate(self, release: str) -> bool:
        """See ``Platform``. When nginx does not run, it serves once it is started."""
        known = self._known()
        ids = [one.id for one in known.releases]
        if release not in ids:
            raise ReleaseMissing.among(f"{self._service.versions} on {self._shell.host}", release, ids)
        serving = known.current
        if serving and serving.id == release:
            return False
        # What served before is written down too: it may have been put there by hand.
        served = f"{serving.served:%Y-%m-%dT%H:%M:%SZ} {serving.id}" if serving and serving.served else ""
        script = to_the_end(self._script(_ACTIVATE, release=release, served=served))
        ran = self._shell.run(script, timeout=240)
        if ran.code:
            raise self._failure(release, ran)
        return True

    def _failure(self, release: str, ran: Ran) -> ServiceError:
        host, service = self._shell.host, self._service
        version = f"{service.versions}/releases/{release}"
        reason = _reason(ran).replace(f"{service.configuration}.new", version)
        if ran.code == _REFUSED:
            return ServiceError(f"{host}: nginx -t refuses {release}: {reason}", "Mend it; nothing was changed")
        if ran.code == _BACK:
            return ServiceError(
                f"{host}: nginx did not take up {release}: {reason}", "The version before is back, and serves"
            )
        if ran.code == _LOST:
            return ServiceError(
                f"{host}: nginx did not take up {release}: {reason}",
                f"The version before is back in {service.configuration}, but was not taken up either: "
                f"look at {service.error_log}",
            )
        if ran.code == _BUSY:
            return ServiceError(f"{host}: {service.versions} cannot be locked: {reason}", "Try again later")
        return ServiceError(f"{host}: {service.configuration} cannot be changed: {reason}",
                            "Give the user that connects the right to write there")  # fmt: skip

    def logs(self, since: datetime | None = None, lines: int = 100, instance: str | None = None) -> list[str]:
        """See ``Platform``. It is the error log."""
        printed = must(
            self._shell,
            f"tail -n {lines} {quote(self._service.error_log)} && date +%z",
            f"{self._service.error_log} cannot be read",
            "Look at error_log= in the inventory",
        )
        *found, zone = printed.splitlines()
        return [line for line in found if since is None or not _older(line, zone, since)]

    def missing(self, names: list[str]) -> list[str]:
        """See ``Platform``."""
        return settings.missing(self._shell, self._service, names)

    @property
    def rolls(self) -> bool:
        """See ``Platform``."""
        return False


def _older(line: str, zone: str, since: datetime) -> bool:
    """Lines without a time are kept: they belong to the one before."""
    time = re.match(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d", line)
    return time is not None and datetime.strptime(f"{time[0]} {zone}", "%Y/%m/%d %H:%M:%S %z") < since.astimezone(UTC)


def _reason(ran: Ran) -> str:
    """What nginx called an emergency, without time and process."""
    found = re.search(r"\[emerg\] (?:\d+#\d+: )?(?:\*\d+ )?(.*)", ran.err)
    if found:
        return found[1]
    return ran.said if ran.err.strip() else "its error log does not say why"
