"""Drives Alembic, in the application's own virtual environment: it needs nothing of this project.

    python alembic_program.py FD < request.json

Whatever the application's settings name, every connection of SQLAlchemy goes to the database of the request: to
``service=ops`` of libpq, or to the same host, port and user for drivers without libpq. Each event is a line of JSON,
written to the file descriptor FD, because the application may print what it likes.
"""

import io
import json
import os
import sys
import time

# As "python -m alembic" has it: the application's directory, and not this one, which holds an alembic.py.
sys.path[0] = os.getcwd()


def main():
    """Carry out one request."""
    request = json.loads(sys.stdin.readline())
    events = os.fdopen(int(sys.argv[1]), "w", buffering=1)

    def tell(**event):
        events.write(json.dumps(event, default=str) + "\n")

    try:
        from alembic.config import Config
        from sqlalchemy import event
        from sqlalchemy.engine import Engine
    except ImportError as error:
        return tell(missing=str(error))
    configuration = Config(request["configuration"])
    # Until the application connects, which never happens, these only have to look like settings.
    nowhere = f"postgresql+{_driver()}://ops@127.0.0.1:1/nowhere"
    os.environ.setdefault("DATABASE_URL", nowhere)
    configuration.set_main_option("sqlalchemy.url", nowhere)
    _redirect(event, Engine, request)
    try:
        if request["verb"] == "status":
            _status(configuration, request["current"], tell)
        else:
            _measure(event, Engine, tell)
            _apply(configuration, request, tell)
    except BaseException as error:
        tell(error=_said(error), sqlstate=_sqlstate(error), statement=getattr(error, "statement", None) or "")
    return None


def _driver():
    """One that is installed; psycopg2 is what SQLAlchemy itself assumes."""
    from importlib.util import find_spec

    return next((name for name in ("psycopg2", "psycopg", "asyncpg", "pg8000") if find_spec(name)), "psycopg2")


def _redirect(event, engine, request):
    @event.listens_for(engine, "do_connect")
    def elsewhere(dialect, record, arguments, parameters):
        if request["verb"] == "status":
            raise RuntimeError("the migrations connect to a database while they are only read")
        if dialect.name != "postgresql":
            raise RuntimeError(f"the application's settings name a database of {dialect.name}")
        arguments[:] = []
        kept = {name: value for name, value in parameters.items() if name in ("async_creator_fn", "cursor_factory")}
        parameters.clear()
        parameters.update(kept)
        if dialect.driver in ("psycopg2", "psycopg", "psycopg_async"):
            parameters["service"] = "ops"
            return
        with open(os.environ["PGPASSFILE"]) as file:
            password = file.readline().rstrip("\n").split(":", 4)[4].replace("\\:", ":").replace("\\\\", "\\")
        parameters.update(request["server"], password=password or None)
        if dialect.driver == "asyncpg":
            parameters.update(server_settings=request["settings"], ssl=request["sslmode"])


def _status(configuration, current, tell):
    from alembic import command
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(configuration)
    known = {script.revision: script for script in scripts.walk_revisions()}
    unknown = [revision for revision in current if revision not in known]
    tell(heads=scripts.get_heads(), unknown=unknown)
    if unknown:
        return
    pending = list(scripts.iterate_revisions("heads", current or "base"))[::-1]
    for script in pending:
        before = script.down_revision
        before = before[0] if isinstance(before, (tuple, list)) else before
        sql = io.StringIO()
        configuration.output_buffer = sql
        why = ""
        try:
            command.upgrade(configuration, f"{before or 'base'}:{script.revision}", sql=True)
        except BaseException as error:
            why = _said(error)
        tell(
            pending=script.revision,
            name=script.doc or "",
            file=script.path,
            sql="" if why else sql.getvalue(),
            why=why,
            down=_does_something(getattr(script.module, "downgrade", None)),
        )


def _does_something(function):
    """Whether there is more in a downgrade than ``pass``."""
    if function is None:
        return False
    empty = compile("def empty():\n    pass\n", "", "exec").co_consts[0]
    return function.__code__.co_code != empty.co_code


def _measure(event, engine, tell):
    began = []

    @event.listens_for(engine, "before_cursor_execute")
    def begin(connection, cursor, statement, parameters, context, many):
        began.append(time.monotonic())

    @event.listens_for(engine, "after_cursor_execute")
    def end(connection, cursor, statement, parameters, context, many):
        at = began.pop()
        rows = cursor.rowcount if statement.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE") else None
        tell(statement=statement, began=at, seconds=time.monotonic() - at, rows=rows)


def _apply(configuration, request, tell):
    from alembic import command

    for revision, goal in request["steps"]:
        tell(begin=revision)
        (command.upgrade if request["verb"] == "up" else command.downgrade)(configuration, goal)
        tell(end=revision)


def _said(error):
    cause = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _sqlstate(error):
    cause = getattr(error, "orig", None)
    return str(getattr(cause, "pgcode", None) or getattr(cause, "sqlstate", None) or "")


if __name__ == "__main__":
    main()
