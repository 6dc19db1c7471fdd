-- States that are told without anything having happened: backfills, plans of resyncs, and what a group's state has told.

CREATE TABLE backfills (
    destination BIGINT PRIMARY KEY REFERENCES destinations (key) ON DELETE CASCADE,
    id          TEXT COLLATE "C" NOT NULL,
    origin      TEXT NOT NULL,
    state       TEXT NOT NULL,
    begun       TEXT NOT NULL,
    updated     TEXT NOT NULL,
    total       BIGINT NOT NULL,
    looked_at   BIGINT NOT NULL,
    told        BIGINT NOT NULL,
    -- The checkpoint: a resource type and a key, a position, or a resource id.
    kind        TEXT COLLATE "C" NOT NULL,
    after       TEXT COLLATE "C" NOT NULL,
    until       BIGINT NOT NULL,
    plan        TEXT COLLATE "C",
    reason      TEXT NOT NULL
);

CREATE TABLE plans (
    id          TEXT COLLATE "C" PRIMARY KEY,
    destination BIGINT NOT NULL REFERENCES destinations (key) ON DELETE CASCADE,
    created     TEXT COLLATE "C" NOT NULL,
    expires     TEXT COLLATE "C" NOT NULL,
    -- JSON object: what it would do, in numbers, and some samples without values.
    content     TEXT NOT NULL
);
CREATE INDEX plans_by_destination ON plans (destination, created);

-- One row for each resource that a plan would do something about.
CREATE TABLE plan_items (
    plan        TEXT COLLATE "C" NOT NULL REFERENCES plans (id) ON DELETE CASCADE,
    resource_id TEXT COLLATE "C" NOT NULL,
    -- JSON object.
    content     TEXT NOT NULL,
    PRIMARY KEY (plan, resource_id)
);

-- The state that named the member last: who is not named by the whole of it is none.
ALTER TABLE remote_members ADD COLUMN told TEXT COLLATE "C";
-- The wish for a state that is owed, which the event's id names.
ALTER TABLE held ADD COLUMN ask TEXT NOT NULL DEFAULT '';
