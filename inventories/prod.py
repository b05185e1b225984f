"""Production: PostgreSQL on Neon, backups on Cloudflare R2."""

from ops import R2, Alembic, CloudRun, Drill, Environment, Postgres, Queues, Retention, Workers, secret

environment = Environment(
    name="prod",
    protected=True,  # drills never restore onto its own server
    database=Postgres(
        url=secret("PROD_DATABASE_URL"),  # the direct host, not Neon's -pooler
        database="shop",  # spares looking up the secret just to know the name
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
    # Who is told how a rollback ended: whatever apprise reaches by a URL; a Slack webhook's is one.
    notify=[secret("SLACK_WEBHOOK_URL")],
    queues=Queues(account="0123456789abcdef0123456789abcdef", token=secret("CLOUDFLARE_API_TOKEN")),
)

# Where data is moved from: this machine, or a host near the database, such as "backup-1.example.com"
# (then type once: pyinfra prod deploys/runner.py).
runner = environment.group("@local")
