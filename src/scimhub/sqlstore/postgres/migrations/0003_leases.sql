-- Which node sends to a destination, until when, and whether another asks for it.

ALTER TABLE destinations ADD COLUMN lease_owner TEXT;
ALTER TABLE destinations ADD COLUMN lease_epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE destinations ADD COLUMN lease_until TIMESTAMPTZ;
ALTER TABLE destinations ADD COLUMN lease_wanted BOOLEAN NOT NULL DEFAULT FALSE;

CREATE UNLOGGED TABLE nodes (
    id   TEXT COLLATE "C" PRIMARY KEY,
    seen TIMESTAMPTZ NOT NULL
);
