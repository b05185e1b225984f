ALTER TABLE customers ADD COLUMN IF NOT EXISTS birthday date;
