"""What is shown as a table is in ``--json`` as well, with all its fields."""

from __future__ import annotations

import json


def test_backups_runs_and_services_are_in_json(pyinfra):
    taken = pyinfra.type("-y", "--json", "deploys/backup.py")
    assert taken.code == 0, taken.stderr
    shown = pyinfra.type("-y", "--json", "deploys/backups.py", "deploys/history.py", "deploys/services.py")
    assert shown.code == 0, shown.stderr
    results = json.loads(shown.stdout)["results"]
    (backup,) = results["backups"]
    assert backup["state"] == "unproven"
    (run,) = results["runs"]
    assert (run["deploy"], run["result"], run["facts"]["backup"]) == ("backup", "done", backup["id"])
    assert run["steps"][0]["outcome"] == "done"
    assert results["services"] == []
