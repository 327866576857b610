-- A webhook's deliveries form a line. Those at its head have a job; these wait for one to be over.
ALTER TABLE webhook_deliveries ADD COLUMN waits boolean NOT NULL DEFAULT false;
CREATE INDEX webhook_deliveries_in_line ON webhook_deliveries (webhook_id, id) WHERE waits;
