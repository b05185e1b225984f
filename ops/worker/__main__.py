"""``python -m ops.worker VERB``: one request in, one answer out."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from types import FrameType

from ops.errors import DatabaseError, OpsError, WorkerFailed, place

VERBS = {
    "list": "which backups there are, and what retention would do with them",
    "dump": "take a backup",
    "check": "read a backup as it lies in the store and compare its hash",
    "drill": "restore a backup into a scratch database and compare it with its manifest",
    "restore": "restore a backup into a database that does not exist yet",
    "loss": "what a restore of a backup would lose, table by table; only reads",
    "branch": "what going back to a branch on Neon would lose, or whether its content is there; may start it",
    "beside": "restore a backup beside its database, and prove it",
    "swap": "let the database that was restored beside take the place of the real one, which is kept",
    "refresh": "bring another environment's data beside the database, masked and proved; or look what there is",
    "classify": "propose a rule of masking for every column that has none, by a sample of another environment's data",
    "advance": "apply the pending migrations to the database that was brought beside",
    "forget": "drop what the refresh before the last one had kept",
    "migrate": "lint, rehearse, apply and prove the pending migrations",
    "revert": "undo migrations that were applied, rehearsed first; or tell what that would mean",
    "verify": "ask checks of the database, the store, and of what answers by HTTP; only reads",
    "triage": "how the database is: who is connected, who waits for whom, what is slow; only reads",
    "terminate": "end connections that have been idle for long, or one session; or tell which",
    "vacuum": "vacuum and analyse a table; or tell what is dead in it",
    "purge": "delete the rows of a rule in batches; or count them",
    "prune": "remove what no retention rule keeps",
    "small": "read or write a small object in the store",
}


def main() -> int:
    """Run one verb; answer as JSON whatever happens. Exit code 0, or 1 with an error in the answer."""
    if len(sys.argv) != 2 or sys.argv[1] not in VERBS:
        verbs = "\n".join(f"  {verb:9} {what}" for verb, what in VERBS.items())
        print(f"usage: python -m ops.worker VERB < request.json\n{verbs}", file=sys.stderr)  # noqa: T201
        return 2
    # Before the imports that take time, so that an early Ctrl-C cleans up like a late one.
    for ending in _ENDINGS:
        signal.signal(ending, _interrupt)
    try:
        from ops.worker.request import Request

        request = Request(**json.loads(sys.stdin.readline() or "{}"))
        answer = importlib.import_module(f"ops.worker.{sys.argv[1]}").run(request)
    except OpsError as error:
        answer = error.to_json()
    except KeyboardInterrupt:
        answer = WorkerFailed("interrupted; what it had begun is cleaned up", "Run it again").to_json()
    except Exception as error:
        answer = _unexpected(error).to_json()
    for ending in _ENDINGS:  # nothing is left to clean up, and the answer and the exit code must still go out
        signal.signal(ending, signal.SIG_IGN)
    print(json.dumps({"answer": answer}), flush=True)  # noqa: T201
    return 1 if "error" in answer else 0


_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for ending in _ENDINGS:  # once is enough: let the cleaning up run to its end
        signal.signal(ending, _ignore)
    raise KeyboardInterrupt


def _ignore(number: int, frame: FrameType | None) -> None:
    """Not SIG_IGN, which children inherit, and which Python complains of when a signal is on its way already."""


def _unexpected(error: Exception) -> OpsError:
    """A fault of ours, or of PostgreSQL's where none was expected: by kind and place, for its text may be anything."""
    if type(error).__module__.startswith("psycopg"):
        said = f"PostgreSQL {type(error).__name__} at {place(error)}"
        return DatabaseError(said, "Look at the server and its log, then run this again")
    return WorkerFailed(f"unexpected {type(error).__name__} at {place(error)}", "This is a bug; please report it")


if __name__ == "__main__":
    code = main()
    if sys.argv[1:] == ["verify"]:
        # Python would wait for the threads that a check which hangs has started.
        os._exit(code)
    sys.exit(code)
