"""This machine, as a small production: the servers of the sandbox, which ``python -m ops.sandbox up`` starts."""

from ops import S3, Drill, Environment, Postgres, Retention, Supervisor
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
            settle=1,  # seconds for which it must then stay so
            env_file=None,  # where the settings named in requires are looked up
            requires=[],
        ),
    ],
)

runner = environment.group("@local")  # where data is moved from
app = environment.group("@local")  # where the service runs
