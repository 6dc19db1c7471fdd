-- Who sends to a destination. Here it is always the one process that has the file open; each start gets the next epoch.

ALTER TABLE destinations ADD COLUMN lease_owner TEXT;
ALTER TABLE destinations ADD COLUMN lease_epoch INTEGER NOT NULL DEFAULT 0;
