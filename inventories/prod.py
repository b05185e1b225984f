"""Production: PostgreSQL on Neon, backups on Cloudflare R2."""

from pathlib import Path

from ops import (
    R2,
    Alembic,
    Backlog,
    Backups,
    CloudRun,
    Column,
    Database,
    Drill,
    Environment,
    Http,
    Job,
    Metric,
    MigrationsCurrent,
    Neon,
    ObjectStore,
    Postgres,
    Purge,
    Queues,
    Result,
    Retention,
    Rows,
    Schedule,
    Schema,
    ServiceLog,
    ServicesRunning,
    Table,
    Trigger,
    Upstream,
    Watch,
    Workers,
    secret,
)


def stock_is_counted() -> Result:
    """A check of your own is a function that returns a result, or several. It must only read."""
    counted = Path("/var/lib/shop/stock.csv").exists()
    return Result("pass" if counted else "fail", value="there" if counted else "no file", hint="Call the warehouse")


environment = Environment(
    name="prod",
    protected=True,  # drills never restore onto its own server
    # A database elsewhere is Postgres(url=secret("PROD_DATABASE_URL")), or in parts: inventories/staging.py.
    database=Neon(
        project="falling-sun-123456",
        branch="main",
        database="shop",
        role="shop_owner",
        api_key=secret("NEON_API_KEY"),  # one that may write, to branch and to restore: docs/neon.md
        restore_points="7d",  # how long the branches are kept that migrations leave to go back to; 30d at most
        api="https://console.neon.tech/api/v2",
        sslmode="verify-full",  # the default for every host but this machine
        sslrootcert=None,  # the system's certificates
        bin_dir=None,  # where pg_dump lies, when it is neither in PATH nor in /usr/lib/postgresql
        deadline=300,  # seconds without any progress after which a dump is cut
    ),
    store=R2(
        account="0123456789abcdef0123456789abcdef",
        bucket="shop-backups",
        prefix="postgres",
        jurisdiction=None,  # or "eu", "fedramp"
        access_key=secret("R2_ACCESS_KEY_ID"),
        secret_key=secret("R2_SECRET_ACCESS_KEY"),
    ),
    retention=Retention(newest=3, hourly=24, daily=14, weekly=8, monthly=12),
    drill=Drill(
        server=Postgres(url=secret("DRILL_DATABASE_URL")),  # a small server that is not production
        on_protected=False,  # True: drill on production's own server after all
        jobs=2,
    ),
    # How the schema migrates: docs/migrations.md.
    migrations=Alembic(
        directory="/srv/shop/current/backend",
        python=".venv/bin/python",  # the application's own
        hosts="runner",  # the group of the host that has the application's code
        longest_lock=2,
        lint_fails=["ban-drop-column", "ban-drop-table", "renaming-column"],
        rehearse_on="data",  # or "schema", without rows, of a database that is too large to be copied
        job=None,  # CloudRunJob(project="shop-prod", region="us-east1", job="migrate"), where only that reaches it
    ),
    # What serves, in the order in which it is started. Systemd, Pm2, Docker, Nginx, Supervisor, Fly, Railway:
    # docs/services.md shows each.
    services=[
        CloudRun(
            name="api",
            project="shop-prod",
            region="us-east1",
            service="shop-api",  # Cloud Run's name for it, when it is another
            token=None,  # application default credentials, by google-auth; or secret("CLOUD_RUN_TOKEN")
            health="https://api.shop.example.com/health",
            within=120,  # seconds until what was started must be healthy
            settle=5,  # seconds for which it must then stay so
            requires=["DATABASE_URL"],  # secrets and settings that must be there; no value is ever read
        ),
        Workers(
            name="edge",
            account="0123456789abcdef0123456789abcdef",
            script="shop-edge",
            token=secret("CLOUDFLARE_API_TOKEN"),
            health="https://shop.example.com/health",
        ),
    ],
    # Who is told how a rollback ended, and that a job failed: whatever apprise reaches by a URL, as a Slack webhook's.
    notify=[secret("SLACK_WEBHOOK_URL")],
    queues=Queues(account="0123456789abcdef0123456789abcdef", token=secret("CLOUDFLARE_API_TOKEN")),
    # What may be deleted for good: pyinfra prod deploys/treat.py --data purge=old-jobs
    purges=[Purge(name="old-jobs", table="jobs", where="completed_at < now() - interval '30 days'")],
    # What must be true. Each kind, with all its fields: docs/verify.md.
    checks=[
        ServicesRunning(restarts=0, window="1h"),
        Http(
            name="health",
            url="https://shop.example.com/health",
            equals={"status": "healthy"},
            within=0.5,  # seconds
            certificate=14,  # days that it must still be valid
        ),
        Http(
            name="orders",
            url="https://shop.example.com/v1/orders?limit=2",
            headers={"Authorization": secret("SMOKE_TOKEN")},
            not_empty=["orders"],
            tries=20,
            p95=0.2,
        ),
        Metric(
            name="error rate",
            url="https://prometheus.example.com",
            query='sum(rate(http_requests_total{code=~"5.."}[1m])) / sum(rate(http_requests_total[1m]))',
            at_most=0.05,
        ),
        Database(longest_transaction="5m"),
        MigrationsCurrent(),
        Schema(
            tables=[Table(name="campaigns", columns={"name": Column(nullable=False)}, indexes=["campaigns_by_name"])]
        ),
        Rows(name="names", query="SELECT count(*) FROM campaigns WHERE name IS NULL", equals=0),
        Backups(newer_than="26h", proven_within="8d"),
        ObjectStore(),
        ServiceLog(service="api", pattern="Traceback|panic:", since="10m"),
        Backlog(queue="orders", at_most=100, oldest="10m"),
        Upstream(url="https://www.cloudflarestatus.com", components=["Workers"]),
        stock_is_counted,
    ],
    # What verify.py and release.py wait for with --data watch=10m, and what a release does then.
    watch=Watch(
        every="15s",
        triggers=[Trigger(check="error rate", lasting="2m"), Trigger(check="health", lasting="5m", unknown=True)],
        rollback="offer",  # or "automatic": it goes back by itself
    ),
    # What runs by itself, once deploys/schedule.py has put it on the runner: docs/schedule.md. By default these two.
    schedule=Schedule(
        jobs=[
            Job(
                name="backup",
                deploy="deploys/backup.py",
                at="*-*-* 02:30:00 UTC",  # as systemd writes it, always UTC
                delay="10m",  # at random within this
                timeout="2h",  # then it is ended, and has failed
                data={"max_age": "1h"},  # options of the deploy
                limit="runner",  # the group of hosts that it needs; None: all
                ping=secret("BACKUP_PING"),  # a dead man's switch, such as healthchecks.io
                nice=10,
                io="best-effort",  # or "idle"
            ),
            Job(name="drill", deploy="deploys/drill.py", at="Sun *-*-* 04:30:00 UTC", limit="runner"),
        ],
        user=None,  # who the jobs run as; None: who connects to the runner
        metrics=None,  # or where node_exporter collects text files: "/var/lib/node_exporter/textfile_collector"
        writes=[],  # further directories that the deploys write to
    ),
)

# Where data is moved from: this machine, or a host near the database, such as "backup-1.example.com"
# (then type once: pyinfra prod deploys/runner.py).
runner = environment.group("@local")
