-- Destinations, and where each of them stands in the change log.

-- The history of one resource: for held lanes, and for whoever asks what became of somebody.
CREATE INDEX changes_by_resource ON changes (resource_id, position);

CREATE TABLE destinations (
    key                  INTEGER PRIMARY KEY AUTOINCREMENT,
    id                   TEXT NOT NULL UNIQUE,
    directory            INTEGER NOT NULL REFERENCES directories (key),
    name                 TEXT NOT NULL,
    kind                 TEXT NOT NULL,
    -- JSON objects.
    configuration        TEXT NOT NULL,
    subscription         TEXT NOT NULL,
    subscription_version INTEGER NOT NULL,
    state                TEXT NOT NULL,
    reason               TEXT NOT NULL,
    cursor               INTEGER NOT NULL,
    -- JSON array of the positions beyond the cursor that the destination has.
    ahead                TEXT NOT NULL,
    replay_id            TEXT,
    replay_until         INTEGER,
    created              TEXT NOT NULL,
    updated              TEXT NOT NULL,
    UNIQUE (directory, name)
) STRICT;

CREATE TABLE destination_secrets (
    id          TEXT PRIMARY KEY,
    destination INTEGER NOT NULL REFERENCES destinations (key) ON DELETE CASCADE,
    purpose     TEXT NOT NULL,
    -- Of a feed's token its digest, else the secret itself.
    value       BLOB NOT NULL,
    hint        TEXT NOT NULL,
    created     TEXT NOT NULL,
    expires     TEXT,
    key_id      TEXT
) STRICT;
CREATE INDEX destination_secrets_by_destination ON destination_secrets (destination, created);
CREATE UNIQUE INDEX destination_secrets_by_token ON destination_secrets (value) WHERE purpose = 'token';

-- One row for each resource whose delivery fails: every event of it from first_position on is owed.
CREATE TABLE held (
    destination    INTEGER NOT NULL REFERENCES destinations (key) ON DELETE CASCADE,
    resource_id    TEXT NOT NULL,
    first_position INTEGER NOT NULL,
    since          TEXT NOT NULL,
    attempts       INTEGER NOT NULL,
    -- NULL: it waits for a person.
    next_attempt   TEXT,
    error          TEXT NOT NULL,
    PRIMARY KEY (destination, resource_id)
) STRICT, WITHOUT ROWID;
