"""Staging: the same shape as production, in parts instead of a URL, and with less to keep."""

from ops import R2, Dbmate, Drill, Environment, Fly, Postgres, Railway, Retention, secret

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
)

runner = environment.group("@local")
