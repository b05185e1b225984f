"""Staging: the same shape as production, in parts instead of a URL, and with less to keep."""

from ops import R2, Drill, Environment, Postgres, Retention, secret

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
)

runner = environment.group("@local")
