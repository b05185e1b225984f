"""This machine, as a small production: the servers of the sandbox, which ``python -m ops.sandbox up`` starts."""

from ops import (
    S3,
    Backups,
    Database,
    Drill,
    Environment,
    Host,
    Http,
    MigrationsCurrent,
    ObjectStore,
    Postgres,
    Retention,
    Rows,
    ServicesRunning,
    Sql,
    Supervisor,
    Trigger,
    Watch,
)
from ops.sandbox import sandbox

environment = Environment(
    name="local",
    protected=False,  # True for production: drills then never restore onto its own server
    database=Postgres(
        host="127.0.0.1",
        port=sandbox.postgres_port,
        database=sandbox.database,
        user=sandbox.database_user,
        password=sandbox.database_password,  # elsewhere: secret("DATABASE_PASSWORD")
        sslmode="disable",  # to this machine itself; elsewhere it is verify-full, unless said otherwise
        deadline=60,  # seconds without any progress after which a dump or restore is cut
    ),
    store=S3(
        endpoint=sandbox.endpoint,
        region="us-east-1",
        bucket=sandbox.bucket,
        prefix="backups",
        access_key=sandbox.access_key,  # elsewhere: secret("AWS_ACCESS_KEY_ID")
        secret_key=sandbox.secret_key,
    ),
    # A backup stays when any of these keeps it.
    retention=Retention(newest=3, hourly=24, daily=7, weekly=4, monthly=6),
    # A protected environment names another server to restore into: Drill(server=Postgres(url=secret("DRILL_URL"))).
    drill=Drill(jobs=2),
    # How the schema migrates; elsewhere it may be Alembic(directory=…) or Dbmate(directory=…): docs/migrations.md.
    migrations=Sql(
        directory=str(sandbox.migrations),
        hosts="runner",  # the group of the host that has the application's code
        lint_fails=[],  # rules of squawk whose findings end the run; the others are shown
        lint_off=["prefer-robust-stmts"],  # rules that are not looked for
        lock_timeout=5,  # seconds that a statement may wait for a lock on the real database
        statement_timeout=600,  # seconds that it may run there
        tries=3,  # how often one is begun that did not get its locks
        strongest_lock="ShareUpdateExclusiveLock",  # one that may be held as long as it takes
        longest_lock=5,  # seconds for which a stronger one may be, as the rehearsal saw it
        restore_point="1h",  # the age that the newest backup may have
    ),
    # What serves, in the order in which it is started.
    services=[
        Supervisor(
            name="web",
            hosts="app",
            programs=["web_1", "web_2"],
            configuration=sandbox.web_configuration,
            command=sandbox.web_command,  # elsewhere supervisorctl is in PATH
            releases=sandbox.web_releases,  # holds releases/<id>, and the link current
            ports=sandbox.web_ports,
            health="http://127.0.0.1:{port}/",  # asked on the host, of every instance
            within=20,  # seconds until an instance that was started must be healthy
            settle=0.3,  # seconds for which it must then stay so
            env_file=None,  # where the settings named in requires are looked up
            requires=[],
        ),
    ],
    # What must be true: docs/verify.md shows every check there is.
    checks=[
        ServicesRunning(),
        Http(name="front", url=f"http://127.0.0.1:{sandbox.web_ports[0]}/customers", within=2),
        Database(),
        MigrationsCurrent(),
        Rows(name="e-mails", query="SELECT count(*) FROM customers WHERE email NOT LIKE '%@%'", equals=0),
        Backups(newer_than="26h", proven_within="8d"),
        ObjectStore(),
        Host(hosts="app", memory=None, load=None),
    ],
    watch=Watch(every="5s", triggers=[Trigger(check="front", lasting="30s")], rollback="offer"),
)

runner = environment.group("@local")  # where data is moved from
app = environment.group("@local")  # where the service runs
