"""Staging: the same shape as production, in parts instead of a URL, and with less to keep."""

from ops import (
    R2,
    BackupOf,
    Dbmate,
    Drill,
    Environment,
    Fly,
    Json,
    Masked,
    Masking,
    Postgres,
    Railway,
    Refresh,
    Retention,
    Schedule,
    Shift,
    secret,
)

environment = Environment(
    name="staging",
    database=Postgres(
        host="ep-cool-darkness-123456.eu-central-1.aws.neon.tech",
        port=5432,
        database="shop",
        user="shop_owner",
        password=secret("STAGING_DATABASE_PASSWORD"),
    ),
    store=R2(
        account="0123456789abcdef0123456789abcdef",
        bucket="shop-backups",
        prefix="postgres",
        access_key=secret("R2_ACCESS_KEY_ID"),
        secret_key=secret("R2_SECRET_ACCESS_KEY"),
    ),
    retention=Retention(newest=2, daily=7),
    drill=Drill(jobs=2),  # staging is not protected: a scratch database on its own server will do
    migrations=Dbmate(directory="/srv/shop/current/db/migrations", restore_point="1d"),
    services=[
        Fly(
            name="api",
            app="shop-api-staging",
            token=secret("FLY_API_TOKEN"),
            health="https://api.staging.shop.example.com/health",
        ),
        Railway(
            name="jobs",
            project="00000000-0000-0000-0000-000000000000",
            environment="00000000-0000-0000-0000-000000000000",
            service="00000000-0000-0000-0000-000000000000",
            token=secret("RAILWAY_TOKEN"),
            project_token=True,  # a token of the project, not of an account
        ),
    ],
    # Production's data, masked: pyinfra staging deploys/refresh.py; every rule there is: docs/refresh.md.
    refresh=Refresh(
        source=BackupOf(  # or BranchOf(environment="prod", neon=Neon(…))
            environment="prod",
            database="shop",
            store=R2(
                account="0123456789abcdef0123456789abcdef",
                bucket="shop-backups",
                prefix="postgres",
                access_key=secret("PROD_BACKUPS_READ_KEY_ID"),  # it need only read
                secret_key=secret("PROD_BACKUPS_READ_KEY"),
            ),
        ),
        masking=Masking(
            salt=secret("MASKING_SALT"),  # 16 characters or more, from which all fakes follow
            tables={
                "public.customers": {
                    "id": "keep",
                    "email": "fake email",
                    "name": "fake name",
                    "born": Shift(days=40),
                    "profile": Json(paths={"theme": "keep", "addresses[*].street": "fake address"}),
                },
                "public.messages": Masked(without="kind = 'private'", columns={"id": "keep", "body": "fake text"}),
                "public.sessions": "empty",
                "public.api_keys": "own",  # staging's own rows are put back
            },
        ),
        scratch=None,  # another server for what is not masked yet; None: staging's own
    ),
    schedule=Schedule(),  # a backup every night, a drill every week: pyinfra staging deploys/schedule.py
)

runner = environment.group("@local")
