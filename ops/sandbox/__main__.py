"""``python -m ops.sandbox``: start and stop the embedded default by hand."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from typing import NoReturn

from ops.errors import OpsError
from ops.sandbox import sandbox

DOWN = 3  # what systemctl answers for a service that does not run


def main() -> int:
    """Run one command and answer its exit code."""
    parser = argparse.ArgumentParser(prog="python -m ops.sandbox", description=__doc__, epilog=_EXIT_CODES)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("up", help="start the servers and make the shop; nothing to do when they run")
    commands.add_parser("down", help="stop the servers; the data stays")
    commands.add_parser("env", help='print variables for a shell: eval "$(python -m ops.sandbox env)"')
    commands.add_parser("status", help="say what runs, and where")
    command = parser.parse_args().command
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _interrupt)
    try:
        return {"up": _up, "down": _down, "env": _env, "status": _status}[command]()
    except OpsError as error:
        sys.stderr.write(f"{error}\n")
    except OSError as error:
        sys.stderr.write(f"{error.filename or sandbox.directory}: {error.strerror}\n")
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted\n")
    return 1


_EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 status: the sandbox is down."


def _interrupt(number: int, frame: object) -> NoReturn:
    """The first signal interrupts; a second must not interrupt the stopping of what was started."""
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


def _up() -> int:
    sandbox.up()
    return _status()


def _down() -> int:
    sandbox.down()
    _status()
    return 0


def _env() -> int:
    variables = {
        "DATABASE_URL": sandbox.database_url,
        "AWS_ENDPOINT_URL_S3": sandbox.endpoint,
        "AWS_ACCESS_KEY_ID": sandbox.access_key,
        "AWS_SECRET_ACCESS_KEY": sandbox.secret_key,
        "AWS_REGION": "us-east-1",
        "BUCKET": sandbox.bucket,
    }
    for name, value in variables.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    sys.stdout.write(f'export PATH={shlex.quote(str(sandbox.postgres.bin_dir))}:"$PATH"\n')
    return 0


def _status() -> int:
    postgres, s3, web = sandbox.servers()
    places = {
        postgres: f"127.0.0.1:{postgres.port}, database {sandbox.database}",
        s3: f"{s3.endpoint}, bucket {sandbox.bucket}",
        web: f"http://127.0.0.1:{web.ports['web_1']} and :{web.ports['web_2']}, the service web",
    }
    for server, place in places.items():
        pid = server.pid
        sys.stdout.write(f"{server.name}: {f'{place}, process {pid}' if pid else 'down'}\n")
    return 0 if all(server.running for server in places) else DOWN


if __name__ == "__main__":
    sys.exit(main())
