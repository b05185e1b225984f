"""Real Debian machines with systemd as their first process, without virtualisation: systemd-nspawn on one root image.

All that a lot of machines is made of (mounts, networks, processes) lies in namespaces of one process, which holds
them for as long as its standard input is open: they are gone when the tests end, however they end. As networks have
no names outside, lots of several test processes do not collide.

    unshare --mount --net python machines.py ROOT PLACE COUNT [BOUND …]
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

PACKAGES = ("systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "curl", "cron")
TOOLS = ("mmdebstrap", "systemd-nspawn", "unshare", "nsenter", "setpriv", "ip", "ssh-keygen")
BUILD = (
    "--variant=minbase",
    f"--include={','.join(PACKAGES)}",
    # A mirror may stand still.
    '--aptopt=Acquire::Check-Valid-Until "false"',
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--customize-hook=rm -f $1/etc/ssh/ssh_host_*",
    "--customize-hook=for each in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer; "
    "do chroot $1 systemctl mask $each; done",
    "bookworm",
)
NETWORK = "10.77.0"


class CannotBuild(Exception):
    """The root image was not to be had."""


def lacking() -> str | None:
    """What this machine lacks to have machines within it."""
    if os.geteuid() != 0:
        return "root"
    tools = [tool for tool in TOOLS if not shutil.which(tool)]
    return " and ".join(tools) or None


def image() -> Path:
    """The root of a machine, built at the first call on this computer and kept in its temporary directory."""
    digest = hashlib.sha256("\n".join(BUILD).encode()).hexdigest()[:12]
    cache = Path(tempfile.gettempdir()) / f"ops-machines-{digest}"
    cache.mkdir(mode=0o700, exist_ok=True)
    if cache.stat().st_uid != os.geteuid():
        raise CannotBuild(f"{cache} belongs to somebody else")
    root, parts = cache / "root", cache / "parts"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            shutil.rmtree(parts, ignore_errors=True)
            *options, suite = BUILD
            built = subprocess.run(["mmdebstrap", *options, suite, parts], capture_output=True, text=True)
            if built.returncode:
                shutil.rmtree(parts, ignore_errors=True)
                raise CannotBuild(next(line for line in reversed(built.stderr.splitlines()) if "E:" in line))
            parts.rename(root)
    return root


class Machine:
    """One that runs.

    Args:
        name: its host name.
        address: in the network of its lot.
        leader: the process, as seen from here, that is its first.
    """

    def __init__(self, name: str, address: str, leader: int) -> None:
        self.name = name
        self.address = address
        self._leader = leader

    def run(self, script: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a script of ``sh`` in it, as root."""
        enter = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-C", "--"]
        # The clock is this computer's too.
        limits = ["setpriv", "--bounding-set=-sys_time,-sys_module,-sys_rawio,-sys_boot", "--inh-caps=-all"]
        command = [*enter, *limits, "sh", "-c", script]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)

    def reboot(self) -> None:
        """Let it go down in good order, and wait until it is up again."""
        loop = parent(parent(self._leader))
        before, deadline = self._leader, time.monotonic() + 60
        self.run("systemctl reboot")
        while True:
            with contextlib.suppress(OSError, IndexError, subprocess.CalledProcessError):
                self._leader = children(children(loop)[0])[0]
                if self._leader != before:
                    give(self._leader, self.address)
                    if self.run("systemctl is-active multi-user.target ssh.service").returncode == 0:
                        return
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not boot again")
            time.sleep(0.05)


class Lot:
    """Machines in one network.

    Args:
        machines: all that run.
        place: holds ``id``, the key that all of them let in as root, and ``known_hosts``.
        holder: the process that holds them.
    """

    def __init__(self, machines: list[Machine], place: Path, holder: int) -> None:
        self.machines = machines
        self.place = place
        self._holder = holder

    def by_ssh(self, machine: Machine) -> dict[str, str]:
        """How pyinfra reaches one of them."""
        return {
            "ssh_hostname": machine.address,
            "ssh_user": "root",
            "ssh_key": str(self.place / "id"),
            "ssh_known_hosts_file": str(self.place / "known_hosts"),
            "ssh_strict_host_key_checking": "yes",
        }

    def inside(self, *command: str) -> list[str]:
        """A command that is to be run in the machines' network, to reach them by their addresses."""
        return ["nsenter", "-t", str(self._holder), "-n", "--", *command]


@contextlib.contextmanager
def machines(count: int, bound: Sequence[str] = ()) -> Iterator[Lot]:
    """So many machines, that accept connections by SSH.

    Args:
        count: how many.
        bound: directories of this computer that they see, read-only: ``PATH`` or ``PATH:PATH there``.
    """
    root = image()
    place = Path(tempfile.mkdtemp(prefix="ops-lot-"))
    command = ["unshare", "--mount", "--net", sys.executable, __file__, root, place, str(count), *bound]
    # A session of its own, so that Ctrl-C does not keep it from clearing away.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as holder:
        assert holder.stdout and holder.stdin
        try:
            lines = [holder.stdout.readline().split() for _ in range(count)]
            if not all(lines):
                raise RuntimeError(f"the machines did not start: exit code {holder.wait()}")
            yield Lot([Machine(name, address, int(pid)) for name, address, pid in lines], place, holder.pid)
        finally:
            holder.stdin.close()
            holder.wait()
            shutil.rmtree(place, ignore_errors=True)


def hold(root: Path, place: Path, count: int, bound: Sequence[str]) -> None:
    """Run machines until standard input ends, and leave nothing of them. To be run in namespaces of its own."""
    key = place / "id"
    started: list[subprocess.Popen[bytes]] = []
    groups: list[Path] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "br0", "type", "bridge")
        run("ip", "addr", "add", f"{NETWORK}.1/24", "dev", "br0")
        run("ip", "link", "set", "br0", "up")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        for number in range(2, count + 2):
            name = f"host{number}"
            disk = place / name / "root"
            prepare(root, disk, name, key)
            public = (disk / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()
            with (place / "known_hosts").open("a") as known:
                known.write(f"{NETWORK}.{number} {public[0]} {public[1]}\n")
            groups += (own := control_groups(f"ops-{os.getpid()}-{number}"))
            started.append(boot(disk, name, own, bound))
        for number, machine in enumerate(started, start=2):
            address = f"{NETWORK}.{number}"
            connect(machine, address)
            print(f"host{number}", address, leader(machine), flush=True)
        sys.stdin.read()
    finally:
        for machine in started:
            machine.kill()
            machine.wait()
        for disk in place.glob("*/root"):
            subprocess.run(["umount", disk])
        for group in groups:
            remove(group)
        shutil.rmtree(place)


def prepare(root: Path, disk: Path, name: str, key: Path) -> None:
    """A disk of its own above the image, with a name, a host key, and a way in."""
    upper, work = disk.with_name("upper"), disk.with_name("work")
    for directory in (upper, work, disk):
        directory.mkdir(parents=True)
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={root},upperdir={upper},workdir={work}", disk)
    (disk / "etc/hostname").write_text(f"{name}\n")
    (disk / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", disk / "etc/ssh/ssh_host_ed25519_key")
    # Many may connect at once.
    (disk / "etc/ssh/sshd_config.d/ops.conf").write_text("MaxStartups 100\n")
    (disk / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copy(key.with_suffix(".pub"), disk / "root/.ssh/authorized_keys")


def control_groups(name: str) -> list[Path]:
    """Groups for a machine in each hierarchy that systemd uses, of this computer's layout."""
    top = Path("/sys/fs/cgroup")
    hierarchies = [top] if (top / "cgroup.procs").exists() else [top / "systemd", top / "unified"]
    groups = [hierarchy / name for hierarchy in hierarchies if hierarchy.exists()]
    for group in groups:
        group.mkdir()
    return groups


def boot(disk: Path, name: str, groups: list[Path], bound: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a machine, none of whose processes outlive the one returned, nor that the caller."""
    join = "; ".join(f"echo $$ > {group}/cgroup.procs" for group in groups)
    nspawn = (
        f"systemd-nspawn --quiet -D {disk} -M {name} --register=no --keep-unit "
        "--network-bridge=br0 --resolv-conf=off --timezone=off --link-journal=no --boot "
        + " ".join(shlex.quote(f"--bind-ro={path}") for path in bound)
    )
    # It ends with 133 when the machine is to boot again.
    again = shlex.quote(f"while {nspawn}; [ $? = 133 ]; do :; done")
    enter = "exec setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount-proc"
    environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
    with disk.with_name("console").open("wb") as console:
        command = ["sh", "-c", f"{join}; {enter} sh -c {again}"]
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=console, stderr=console)


def connect(machine: subprocess.Popen[bytes], address: str) -> None:
    """Give a machine its address; wait until it lets in by SSH."""
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError, IndexError, subprocess.CalledProcessError):
            give(leader(machine), address)
            with socket.create_connection((address, 22), timeout=1) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        if machine.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{address} did not boot")
        time.sleep(0.05)


def give(leader: int, address: str) -> None:
    """Give an address to the machine whose first process this is."""
    inside = ["nsenter", "-t", str(leader), "-n", "ip"]
    run(*inside, "addr", "replace", f"{address}/24", "dev", "host0")
    run(*inside, "link", "set", "host0", "up")


def leader(machine: subprocess.Popen[bytes]) -> int:
    """The process that is the machine's first: unshare's child starts nspawn, whose child it is."""
    return children(children(children(machine.pid)[0])[0])[0]


def parent(process: int) -> int:
    """The process that has started a process."""
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))


def children(process: int) -> list[int]:
    """The processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def remove(group: Path) -> None:
    """Remove a control group with those below; the kernel takes its time to see that they are empty."""
    below = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
    for each in (*below, group):
        for _ in range(50):
            with contextlib.suppress(OSError):
                each.rmdir()
                break
            time.sleep(0.1)


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    hold(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
