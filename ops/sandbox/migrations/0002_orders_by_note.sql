-- An index that is built while the shop goes on selling cannot be part of a transaction.
-- transaction: none
CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_by_note ON orders (note);
