"""Drives Alembic, in the application's own virtual environment: it needs nothing of this project.

    python alembic_program.py FD < request.json

Whatever the application's settings name, every connection of a driver goes to the database of the request: to
``service=ops`` of libpq, or to the same host, port and user for drivers without libpq. Each event is a line of JSON,
written to the file descriptor FD, because the application may print what it likes.
"""

import importlib
import io
import json
import os
import re
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
    _redirect(request)
    try:
        if request["verb"] in _READING:
            _READING[request["verb"]](configuration, request, tell)
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


_WHERE = (
    "host", "hostaddr", "port", "dbname", "database", "user", "password", "service", "passfile", "dsn", "conninfo",
    "sslmode", "sslrootcert", "sslcert", "sslkey", "ssl", "ssl_context", "direct_tls",
)  # fmt: skip
"""What a driver is told of where to connect: all of it is replaced, the rest stays as the application wrote it."""


def _redirect(request):
    """Replace the connect functions of all drivers, before anything of the application is loaded.

    SQLAlchemy calls them, and so does whoever does without it: a ``creator``, or a revision that opens its own.
    """
    asked = set()

    def where(arguments, keywords):
        if request["verb"] in _READING:
            raise RuntimeError("the migrations connect to a database while they are only read")
        asked.add(_database(arguments, keywords))
        if len(asked - {None}) > 1:
            raise RuntimeError("the migrations connect to more than one database, and only one was copied")
        return {name: value for name, value in keywords.items() if name not in _WHERE}

    def by_libpq(original):
        def connect(*arguments, **keywords):
            kept = where(arguments, keywords)
            # An option that is given replaces PGOPTIONS.
            given = f"{kept.pop('options', '') or ''} {os.environ.get('PGOPTIONS', '')}"
            return original("service=ops", **kept, options=given.strip())

        return connect

    def by_itself(original, settings):
        def connect(*arguments, **keywords):
            kept = {**where(arguments, keywords), **request["server"], "password": _password()}
            if settings:
                kept["server_settings"] = {**kept.get("server_settings", {}), **request["settings"]}
                kept["ssl"] = request["sslmode"]
            return original(**kept)

        return connect

    for module, owner, name, make in (
        ("psycopg2", "", "connect", by_libpq),
        ("psycopg", "", "connect", by_libpq),
        ("psycopg", "Connection", "connect", by_libpq),
        ("psycopg", "AsyncConnection", "connect", by_libpq),
        ("asyncpg", "", "connect", lambda original: by_itself(original, True)),
        ("asyncpg.connection", "", "connect", lambda original: by_itself(original, True)),
        ("pg8000", "", "connect", lambda original: by_itself(original, False)),
        ("pg8000.dbapi", "", "connect", lambda original: by_itself(original, False)),
    ):
        try:
            place = importlib.import_module(module)
        except ImportError:
            continue
        place = getattr(place, owner) if owner else place
        setattr(place, name, staticmethod(make(getattr(place, name))) if owner else make(getattr(place, name)))


def _database(arguments, keywords):
    """The name of the database that is asked for, as far as it is told."""
    named = str(arguments[0]) if arguments else str(keywords.get("dsn") or keywords.get("conninfo") or "")
    found = re.search(r"dbname=(\S+)", named) or re.search(r"://[^/]*/([^?]+)", named)
    return keywords.get("dbname") or keywords.get("database") or (found[1] if found else None)


def _password():
    with open(os.environ["PGPASSFILE"]) as file:
        line = file.readline().rstrip("\n")
    return re.split(r"(?<!\\):", line, maxsplit=4)[4].replace("\\:", ":").replace("\\\\", "\\") or None


def _status(configuration, request, tell):
    from alembic.script import ScriptDirectory

    current = request["current"]
    scripts = ScriptDirectory.from_config(configuration)
    known = {script.revision: script for script in scripts.walk_revisions()}
    unknown = [revision for revision in current if revision not in known]
    tell(heads=scripts.get_heads(), unknown=unknown)
    if unknown:
        return
    # Without the implicit base a second branch on a revision that is applied would be passed over.
    pending = list(scripts.iterate_revisions("heads", tuple(current) or "base", implicit_base=True))[::-1]
    pending = [script for script in pending if script.revision not in _applied(scripts, current)]
    branched = len(scripts.get_heads()) > 1 or any(isinstance(script.down_revision, tuple) for script in pending)
    for script in pending:
        told = _told(configuration, script)
        # What "one back" means is not clear where branches meet.
        tell(pending=script.revision, **{**told, "down": told["down"] and not branched})


def _since(configuration, request, tell):
    """What is applied and not among what ``to`` rests on, oldest first."""
    from alembic.script import ScriptDirectory

    current, to = request["current"], request["to"]
    scripts = ScriptDirectory.from_config(configuration)
    known = {script.revision for script in scripts.walk_revisions()}
    unknown = [revision for revision in current if revision not in known]
    there = tuple(set(current) & known)
    order = list(scripts.iterate_revisions(there, "base"))[::-1] if there else []
    ids = [script.revision for script in order]
    # What an unknown one rests on is not known, so that it may be anything.
    may = {*ids, *unknown, *(known if unknown else ())}
    tell(has=[*ids, *unknown], lacks=[one for one in to if one not in may])
    kept = _applied(scripts, [one for one in to if one in known])
    for script in order:
        if script.revision not in kept:
            told = _told(configuration, script)
            met = len(current) > 1 or isinstance(script.down_revision, tuple) or script.dependencies
            back = bool(told["way_back"]) and told["way_back"].count("COMMIT;") <= 1
            tell(applied=script.revision, **{**told, "down": told["down"] and not met, "transactional": back})
    for revision in unknown:
        if revision not in to:
            tell(applied=revision)


_READING = {"status": _status, "since": _since}


def _told(configuration, script):
    """All that is to be known of a revision."""
    from alembic import command

    before = script.down_revision
    before = before[0] if isinstance(before, (tuple, list)) else before
    sql = _offline(configuration, command.upgrade, f"{before or 'base'}:{script.revision}")
    return {
        "name": script.doc or "",
        "file": script.path,
        "sql": sql,
        "way_back": _offline(configuration, command.downgrade, f"{script.revision}:{before or 'base'}"),
        "transactional": bool(sql) and sql.count("COMMIT;") <= 1,
        "down": _does_something(getattr(script.module, "downgrade", None)),
    }


def _offline(configuration, run, span):
    """The SQL of a command; empty when it cannot be made without a database."""
    sql = configuration.output_buffer = io.StringIO()
    try:
        run(configuration, span, sql=True)
    except BaseException:
        return ""
    return sql.getvalue()


def _applied(scripts, current):
    """Every revision that the current ones rest on, and they themselves."""
    return {script.revision for script in scripts.iterate_revisions(tuple(current), "base")} if current else set()


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
