-- A replay may be of one resource only.

ALTER TABLE destinations ADD COLUMN replay_resource TEXT;
