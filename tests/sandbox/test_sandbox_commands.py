from __future__ import annotations

import subprocess
import sys

import pytest


def test_status_exits_3_while_it_is_down(terminal) -> None:
    status = terminal.type("status")
    assert (status.returncode, status.stdout) == (3, "PostgreSQL: down\nSeaweedFS: down\nsupervisord: down\n")


def test_status_says_what_runs_and_where_and_no_secret(up) -> None:
    status = up.type("status")
    assert status.returncode == 0
    assert f"127.0.0.1:{up.sandbox.postgres_port}" in status.stdout
    assert up.sandbox.endpoint in status.stdout
    for hidden in (up.sandbox.database_password, up.sandbox.secret_key, up.sandbox.postgres.password):
        assert hidden not in status.stdout


def test_env_fails_in_one_line_while_it_is_down(terminal) -> None:
    env = terminal.type("env")
    assert (env.returncode, env.stdout) == (1, "")
    assert env.stderr == "the sandbox is down. Type: python -m ops.sandbox up\n"


def test_down_while_it_is_down_has_nothing_to_do(terminal) -> None:
    assert terminal.type("down").returncode == 0
    assert not terminal.sandbox.directory.exists()


def test_a_shell_can_use_what_env_prints(up) -> None:
    script = (
        f'eval "$({sys.executable} -m ops.sandbox env)" && psql "$DATABASE_URL" -Atc "SELECT count(*) FROM orders" '
        '&& pg_restore --version && echo "$BUCKET $AWS_ENDPOINT_URL_S3 $AWS_REGION"'
    )
    done = subprocess.run(["sh", "-c", script], env=up.environment, capture_output=True, text=True, check=True)
    orders, version, bucket = done.stdout.splitlines()
    assert orders == "30000"
    assert version.startswith("pg_restore (PostgreSQL) 17")
    assert bucket == f"shop-backups {up.sandbox.endpoint} us-east-1"


def test_boto3_finds_all_it_needs_in_what_env_prints(up) -> None:
    program = "import boto3, os; print(boto3.client('s3').list_objects_v2(Bucket=os.environ['BUCKET'])['KeyCount'])"
    script = (
        f'eval "$({sys.executable} -m ops.sandbox env)" '
        f'&& AWS_DEFAULT_REGION=$AWS_REGION {sys.executable} -c "{program}"'
    )
    done = subprocess.run(["sh", "-c", script], env=up.environment, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


@pytest.mark.parametrize("command", ["up", "down", "env", "status"])
def test_help_names_every_command_and_the_exit_codes(terminal, command: str) -> None:
    help_text = terminal.type("--help").stdout
    assert command in help_text
    assert "Exit codes" in help_text


def test_a_place_where_nothing_can_be_written_is_said_in_one_line(terminal) -> None:
    terminal.environment["OPS_SANDBOX"] = "/proc/none/sandbox"
    up = terminal.type("up")
    assert up.returncode == 1
    assert up.stderr.count("\n") == 1
    assert "Traceback" not in up.stderr


def test_the_package_is_cheap_to_import() -> None:
    program = "import sys, ops.sandbox; print(sorted({'boto3', 'botocore', 'psycopg', 'pyinfra'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
