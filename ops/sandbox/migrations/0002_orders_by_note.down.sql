-- transaction: none
DROP INDEX CONCURRENTLY IF EXISTS orders_by_note;
