"""pm2, by its command, and by its library where the command cannot do it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from shlex import quote
from typing import Any

from ops.errors import ServiceError, ServiceMissing
from ops.platforms import crash_loop
from ops.platforms.base import Instance, State
from ops.platforms.released import ReleasedPlatform
from ops.platforms.shell import Ran, Shell, must
from ops.services import Pm2

_STATES = {
    "online": State.RUNNING,
    "launching": State.STARTING,
    "one-launch-status": State.STARTING,
    "stopping": State.STOPPED,
    "stopped": State.STOPPED,
    "waiting restart": State.FAILED,
    "errored": State.FAILED,
}
"""constants.js of pm2. What waits for its restart has died."""

_DOWN, _DEEP = 71, 72
"""Exit codes of our scripts: there is no daemon, its answer cannot be read."""

# Any command of pm2 starts a daemon when there is none; and one that was killed leaves its file.
_DAEMON = (
    r"""{ tr '\0' ' ' < "/proc/$(cat "$PM2_HOME/pm2.pid" 2>/dev/null)/cmdline"; } 2>/dev/null"""
    f" | grep -q -e '^PM2 v' -e 'Daemon[.]js' || exit {_DOWN}\n"
)

# The list holds the whole environment of every process, so all but a few fields is dropped before it leaves the host.
_LIST = r"""
const fs = require('fs');
const [name, base, only] = process.argv.slice(1);
let all;
try {
  all = JSON.parse(fs.readFileSync(0, 'utf8').split('\n').filter(line => line.startsWith('[')).pop());
} catch { process.exit(72); }
const real = path => { try { return fs.realpathSync(path); } catch { return path; } };
const time = path => { try { return fs.statSync(path).mtimeMs; } catch { return null; } };
const bases = base ? [base, real(base)].map(each => each + '/releases/') : [];
const holding = path => {
  const found = bases.find(each => (path || '').startsWith(each));
  return found ? path.slice(found.length).split('/')[0] : null;
};
const working = pid => { try { return fs.readlinkSync(`/proc/${pid}/cwd`); } catch { return null; } };
const found = all.filter(each => each.name === name);
console.log(JSON.stringify({
  now: Date.now(), names: [...new Set(all.map(each => each.name))],
  found: found.map(each => ({
    id: each.pm_id, status: each.pm2_env.status, since: each.pm2_env.pm_uptime,
    unstable: each.pm2_env.unstable_restarts || 0, restarts: each.pm2_env.restart_time,
    release: each.pid ? holding(working(each.pid)) || holding(each.pm2_env.pm_cwd) : null,
    fixed: Boolean(holding(each.pm2_env.pm_cwd) || holding(each.pm2_env.pm_exec_path)),
  })),
  logs: [...new Set(found.filter(each => !only || String(each.pm_id) === only)
    .flatMap(each => [each.pm2_env.pm_err_log_path, each.pm2_env.pm_out_log_path]))]
    .filter(each => each !== '/dev/null' && time(each) !== null).sort((one, other) => time(one) - time(other)),
}));
"""

# "pm2 restart --cwd" changes a field that nothing reads, and "pm2 restart file.json" gives the process the environment
# of who connects. So the daemon is told as the command tells it, with the two fields that count.
_MOVE = r"""
const [library, id, base] = process.argv.slice(1);
const fs = require('fs');
const pm2 = require(library);
const bases = [base, fs.realpathSync(base)].map(each => each + '/releases/');
const moved = path => {
  const found = bases.find(each => (path || '').startsWith(each));
  return found ? [base, 'current', ...path.slice(found.length).split('/').slice(1)].join('/') : path;
};
const end = error => {
  if (error) console.error(error.message || String(error));
  pm2.disconnect();
  process.exit(error ? 1 : 0);
};
pm2.connect(error => error ? end(error) : pm2.list((error, all) => {
  if (error) return end(error);
  const found = all.find(each => String(each.pm_id) === id);
  if (!found) return end(new Error(`there is no process ${id}`));
  const directory = moved(found.pm2_env.pm_cwd);
  pm2.Client.executeRemote('restartProcessId', { id: found.pm_id, env: {
    PWD: directory, current_conf: { pm_cwd: directory, pm_exec_path: moved(found.pm2_env.pm_exec_path) },
  } }, end);
}));
"""


@dataclass(frozen=True)
class _Found:
    """Our processes.

    Args:
        instances: by id.
        fixed: names of those that pm2 keeps in the directory of one release, whatever ``current`` is.
        logs: their files, the one written last at the end.
    """

    instances: tuple[Instance, ...]
    fixed: frozenset[str]
    logs: tuple[str, ...]


class Pm2Platform(ReleasedPlatform):
    """A process of pm2 on one host; each of its instances is named ``name:id``.

    A restart leads one that was started in a release's own directory over to ``current``, for good; what pm2 starts
    after a boot is changed by ``pm2 save`` only, which is not called here because it saves everybody's processes.

    Args:
        service: its description.
        shell: on the host.
    """

    dated = False

    def __init__(self, service: Pm2, shell: Shell) -> None:
        super().__init__(service, shell)
        self._service: Pm2 = service
        self._process = service.process or service.name
        command = service.command
        # A pm2 with a path of its own has its node beside it, as nvm lays them out.
        beside = f'PATH={quote(command.rpartition("/")[0])}:"$PATH"; export PATH\n' if "/" in command else ""
        home = quote(service.home) if service.home else '"$HOME/.pm2"'
        self._before = f"PM2_HOME={home}; export PM2_HOME\n{beside}{_DAEMON}"
        self._pm2 = quote(command)

    def _ask(self) -> tuple[tuple[Instance, ...], str]:
        script = f"( {self._listing()} ) || exit\n"
        ran = self._shell.run(self._before + script + self._releases_script())
        instances = self._read(ran).instances
        return instances, ran.out

    def _listing(self, instance: str | None = None) -> str:
        base = self._directories.base if self._directories else ""
        only = _id(instance) if instance else ""
        return f"{self._pm2} jlist --silent | node -e {quote(_LIST)} {quote(self._process)} {quote(base)} {only}"

    def _look(self, instance: str | None = None) -> _Found:
        return self._read(self._shell.run(self._before + self._listing(instance)))

    def _read(self, ran: Ran) -> _Found:
        host, home = self._shell.host, self._service.home or "~/.pm2"
        if ran.code == _DOWN:
            raise ServiceError(
                f"{host}: pm2 does not run in {home}", "Start it (pm2 resurrect), or look at home= in the inventory"
            )
        line = next((line for line in ran.out.splitlines() if line.startswith("{")), None)
        if line is None:
            why = "its answer cannot be read" if ran.code == _DEEP and not ran.err.strip() else ran.said
            raise ServiceError(f"{host}: pm2 cannot be asked: {why}", "Look at command= in the inventory")
        answer = json.loads(line)
        if not answer["found"]:
            raise ServiceMissing(
                f"{host}: pm2 in {home} has no process {self._process}",
                f"Look at process= in the inventory; there are: {', '.join(answer['names']) or 'none'}",
            )
        found = sorted(answer["found"], key=lambda each: int(each["id"]))
        instances = tuple(self._instance(each, _time(answer["now"])) for each in found)
        fixed = frozenset(self._name(each["id"]) for each in found if each["fixed"])
        return _Found(instances, fixed, tuple(answer["logs"]))

    def _instance(self, shown: dict[str, Any], now: datetime) -> Instance:
        name, state = self._name(shown["id"]), _STATES.get(shown["status"], State.FAILED)
        # One of them may be our own: pm2 counts a process that was told to end when it was young.
        died_young = shown["unstable"] - 1
        # All restarts are in one count, those that somebody asked for as well.
        restarts = died_young if died_young > 0 else 0 if shown["restarts"] == 0 else None
        if state not in (State.RUNNING, State.STARTING):
            return Instance(name, state, restarts=restarts)
        since = _time(shown["since"]) if shown["since"] else None
        if since and crash_loop.in_one(died_young, since, now):
            return Instance(name, State.FAILED, restarts=restarts)
        return Instance(name, state, since, shown["release"], restarts)

    def _name(self, id: int) -> str:
        return f"{self._process}:{id}"

    def restart(self, instance: str) -> None:
        """See ``Platform``."""
        self._restart(self._look(), instance)

    def start(self, instance: str) -> None:
        """See ``Platform``."""
        found = self._look()
        # "pm2 start" would restart one that runs.
        if self._one(found, instance).state not in (State.RUNNING, State.STARTING):
            self._restart(found, instance)

    def stop(self, instance: str) -> None:
        """See ``Platform``."""
        if self._one(self._look(), instance).state is not State.STOPPED:
            self._do(f"{self._pm2} stop {_id(instance)}", f"{instance} could not be stopped")

    def _restart(self, found: _Found, instance: str) -> None:
        """Whether it holds is seen by who looks afterwards: pm2 succeeds although it dies a second later."""
        self._one(found, instance)
        script = f"{self._pm2} restart {_id(instance)}"
        if self._directories and instance in found.fixed:
            base = quote(self._directories.base)
            script = (
                f"[ -d {base}/current/ ] || {{ echo {base}/current leads nowhere >&2; exit 1; }}\n"
                f'library=$(dirname "$(dirname "$(readlink -f "$(command -v {self._pm2})")")")\n'
                '[ -f "$library/package.json" ] || '
                f"{{ echo {self._pm2} is not the program that npm installed, whose library is needed >&2; exit 1; }}\n"
                f'node -e {quote(_MOVE)} "$library" {_id(instance)} {base}'
            )
        self._do(script, f"{instance} could not be restarted")

    def _one(self, found: _Found, instance: str) -> Instance:
        for one in found.instances:
            if one.name == instance:
                return one
        names = ", ".join(one.name for one in found.instances)
        raise ServiceMissing(f"{self._shell.host}: pm2 has no instance {instance}", f"There are: {names}")

    def _do(self, script: str, what: str) -> None:
        must(self._shell, self._before + script, what, "Look at pm2.log in PM2_HOME", timeout=120)

    def log_files(self) -> tuple[str, ...]:
        """The files that hold its log and are there, the one written last at the end."""
        return self._look().logs

    def logs(self, since: datetime | None = None, lines: int = 100, instance: str | None = None) -> list[str]:
        """See ``Platform``. Its log has no times of its own, so ``since`` is not looked at."""
        files = " ".join(map(quote, self._look(instance).logs))
        if not files:
            return []
        script = f'for each in {files}; do tail -n {lines} "$each"; done'
        printed = must(self._shell, script, f"the log of {self._process} cannot be read")
        return [line for line in printed.splitlines() if line.strip()][-lines:]


def _time(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _id(instance: str) -> str:
    return quote(instance.rpartition(":")[2])
