"""Whoever does not agree to what was planned has nothing done, and is told so."""

from __future__ import annotations

import os
import pty
import subprocess

from ops.environment import root


def test_y_where_enter_is_waited_for_is_no_success(pyinfra):
    near, far = pty.openpty()
    try:
        os.write(near, b"y\n")
        done = subprocess.run(
            pyinfra.command("deploys/backup.py"),
            cwd=root(),
            env={"PATH": os.environ["PATH"], "HOME": str(pyinfra.inventory.parent), **pyinfra.secrets},
            stdin=far,
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        os.close(near)
        os.close(far)
    assert "nothing was done: press Enter alone to go on" in done.stderr
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
