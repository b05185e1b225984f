"""Remote hosts on this machine: real sshds on loopback, each with an address, a host key and a home of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from ops.sandbox import ports

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
KEYGEN = shutil.which("ssh-keygen")


@dataclass(frozen=True)
class Remote:
    """A host that answers SSH.

    Args:
        name: what the inventory calls it.
        address: of the loopback network.
        port: TCP port.
        home: where ``$HOME`` is for whoever logs in, so that nothing is written into the real one.
        key: the client's private key.
        known_hosts: the file that holds its host key.
    """

    name: str
    address: str
    port: int
    home: Path
    key: Path
    known_hosts: Path

    @property
    def data(self) -> dict[str, str | int]:
        """How pyinfra reaches it, trusting nothing but what is known."""
        return {
            "ssh_hostname": self.address,
            "ssh_port": self.port,
            "ssh_user": _me(),
            "ssh_key": str(self.key),
            "ssh_known_hosts_file": str(self.known_hosts),
            "ssh_strict_host_key_checking": "yes",
        }


@contextmanager
def remotes(directory: Path, names: list[str], homes: dict[str, Path] | None = None) -> Iterator[list[Remote]]:
    """One sshd for each name on 127.0.0.2, 127.0.0.3, …; stopped with all their sessions, even if we are killed.

    Args:
        directory: an empty one, for keys, configuration, logs and homes.
        names: of the hosts.
        homes: the homes of hosts that are to have one elsewhere, which must exist.
    """
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # else sshd refuses to start as root
    directory.chmod(0o700)
    key = make_key(directory / "client")
    hosts = []
    for number, name in enumerate(names, start=2):
        home = (homes or {}).get(name) or directory / name / "home"
        home.mkdir(parents=True, exist_ok=True)
        hosts.append(Remote(name, f"127.0.0.{number}", ports.free(), home, key, directory / "known_hosts"))
    servers: list[subprocess.Popen[bytes]] = []
    try:
        for host in hosts:
            servers.append(_start(host, directory / f"{host.name}.d"))
        lifeline = subprocess.Popen(
            ["sh", "-c", 'read -r line; kill "$@"', "sh", *(str(server.pid) for server in servers)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        for host, server in zip(hosts, servers, strict=True):
            _wait(directory / f"{host.name}.d", server)
        yield hosts
        lifeline.kill()
        lifeline.communicate()
    finally:
        for server in servers:
            _stop(server)


def make_key(path: Path) -> Path:
    """A key pair without a passphrase; the private half's path."""
    assert KEYGEN
    subprocess.run([KEYGEN, "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", path], check=True)
    return path


def public(key: Path) -> str:
    """The public half of a key pair, as known_hosts and authorized_keys write it."""
    return " ".join(key.with_suffix(".pub").read_text().split()[:2])


def _start(host: Remote, place: Path) -> subprocess.Popen[bytes]:
    assert SSHD
    place.mkdir()
    host_key = make_key(place / "hostkey")
    with host.known_hosts.open("a") as known:
        known.write(f"[{host.address}]:{host.port} {public(host_key)}\n")
    authorized = place / "authorized_keys"
    authorized.write_text(f'environment="HOME={host.home}" {public(host.key)}\n')
    configuration = place / "sshd_config"
    configuration.write_text(
        f"ListenAddress {host.address}:{host.port}\n"
        f"HostKey {host_key}\n"
        "PidFile none\n"
        f"AuthorizedKeysFile {authorized}\n"
        "PermitUserEnvironment HOME\n"
        "PasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\n"
        "UsePAM no\n"
        "PermitRootLogin prohibit-password\n"
        "StrictModes no\n"  # the directory lies below /tmp, which everybody may write to
        f"AllowUsers {_me()}\n"
        "Subsystem sftp internal-sftp\n"
        "PrintLastLog no\n"
        "PrintMotd no\n"
    )
    with (place / "log").open("wb") as log:
        return subprocess.Popen([SSHD, "-D", "-e", "-f", configuration], stdin=subprocess.DEVNULL, stderr=log)


def _wait(place: Path, server: subprocess.Popen[bytes]) -> None:
    log = place / "log"
    for _ in range(200):
        if "Server listening" in log.read_text():
            return
        assert server.poll() is None, log.read_text()
        time.sleep(0.025)
    raise AssertionError(f"sshd does not listen: {log.read_text()}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    sessions = psutil.Process(server.pid).children(recursive=True) if server.poll() is None else []
    for process in (server, *sessions):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    server.wait()


def _me() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name
