-- States that are told without anything having happened: backfills, plans of resyncs, and what a group's state has told.

CREATE TABLE backfills (
    destination INTEGER PRIMARY KEY REFERENCES destinations (key) ON DELETE CASCADE,
    id          TEXT NOT NULL,
    origin      TEXT NOT NULL,
    state       TEXT NOT NULL,
    begun       TEXT NOT NULL,
    updated     TEXT NOT NULL,
    total       INTEGER NOT NULL,
    looked_at   INTEGER NOT NULL,
    told        INTEGER NOT NULL,
    -- The checkpoint: a resource type and a key, a position, or a resource id.
    kind        TEXT NOT NULL,
    after       TEXT NOT NULL,
    until       INTEGER NOT NULL,
    plan        TEXT,
    reason      TEXT NOT NULL
) STRICT;

CREATE TABLE plans (
    id          TEXT PRIMARY KEY,
    destination INTEGER NOT NULL REFERENCES destinations (key) ON DELETE CASCADE,
    created     TEXT NOT NULL,
    expires     TEXT NOT NULL,
    -- JSON object: what it would do, in numbers, and some samples without values.
    content     TEXT NOT NULL
) STRICT;
CREATE INDEX plans_by_destination ON plans (destination, created);

-- One row for each resource that a plan would do something about.
CREATE TABLE plan_items (
    plan        TEXT NOT NULL REFERENCES plans (id) ON DELETE CASCADE,
    resource_id TEXT NOT NULL,
    -- JSON object.
    content     TEXT NOT NULL,
    PRIMARY KEY (plan, resource_id)
) STRICT, WITHOUT ROWID;

-- The state that named the member last: who is not named by the whole of it is none.
ALTER TABLE remote_members ADD COLUMN told TEXT;
-- The wish for a state that is owed, which the event's id names.
ALTER TABLE held ADD COLUMN ask TEXT NOT NULL DEFAULT '';
