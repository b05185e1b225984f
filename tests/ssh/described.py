"""A shop as an inventory describes it."""

from __future__ import annotations

from ops import Postgres
from ops.sandbox.shop import Shop


def described(shop: Shop, port: int | None = None) -> Postgres:
    """How a runner reaches a shop.

    Args:
        shop: whose server is on this machine.
        port: another than the server's own, of something in between.
    """
    return Postgres(
        host="127.0.0.1",
        port=port or shop.server.port,
        database=shop.name,
        user=shop.user,
        password=shop.password,
        bin_dir=str(shop.server.bin_dir),  # a remote runner's own environment has no PostgreSQL
    )
