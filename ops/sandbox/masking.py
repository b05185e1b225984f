"""How the shop is masked for others to see: an example, and what the tests and the benchmark use."""

from __future__ import annotations

from typing import Any

from ops.masking import Json, Masked, Shift

TABLES: dict[str, Any] = {
    "public.categories": {"id": "keep", "parent_id": "keep", "name": "keep"},
    "public.products": {
        "id": "keep",
        "category_id": "keep",
        "sku": "keep",
        "name": "keep",
        "price": "keep",
        "stock": "keep",
        "attributes": "keep",
        "photo": "null",
        "updated_at": "keep",
    },
    "public.customers": {
        "id": "keep",
        "email": "fake email",
        "name": "fake name",
        "tags": "keep",
        "created_at": Shift(days=20),
        "deleted_at": "keep",
    },
    "public.addresses": {
        "id": "keep",
        "customer_id": "keep",
        "street": "fake address",
        "city": "keep",
        "country": "keep",
    },
    "public.orders": {
        "id": "keep",
        "customer_id": "keep",
        "address_id": "keep",
        "status": "keep",
        "invoice": "keep",
        "placed_at": "keep",
        "note": "fake text",
    },
    "public.order_items": {
        "order_id": "keep",
        "line": "keep",
        "product_id": "keep",
        "quantity": "keep",
        "price": "keep",
    },
    "public.payments": "empty",
    "public.reviews": Masked(
        without="stars = 1", columns={"product_id": "keep", "customer_id": "keep", "stars": "keep", "body": "fake text"}
    ),
    "public.stock_movements": {"id": "keep", "product_id": "keep", "change": "keep", "reason": "keep"},
    "public.events": {
        "id": "keep",
        "at": "keep",
        "customer_id": "keep",
        "kind": "keep",
        "payload": Json(paths={"path": "keep", "session": "hash", "took_ms": "keep"}),
    },
}
