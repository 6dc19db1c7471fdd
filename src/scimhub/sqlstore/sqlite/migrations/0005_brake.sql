-- Why something is held; the brake on removals; and where the log has those who leave.

-- failure, brake, released, leaver or state; see distribution.delivery.
ALTER TABLE held ADD COLUMN cause TEXT NOT NULL DEFAULT 'failure';
-- The log is read for it up to here, whether the cursor has come so far or not. NULL: only as far as the cursor has come.
ALTER TABLE held ADD COLUMN until INTEGER;
-- What the brake holds: a resource type or 'members', and how many of them would go.
ALTER TABLE held ADD COLUMN removes TEXT NOT NULL DEFAULT '';
ALTER TABLE held ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;

-- JSON objects: the thresholds, and which removals have been let go.
ALTER TABLE destinations ADD COLUMN brake TEXT NOT NULL DEFAULT '{}';
ALTER TABLE destinations ADD COLUMN brake_state TEXT NOT NULL DEFAULT '{}';

-- One row for each resource that a destination keeps, because an administrator discarded its removal.
CREATE TABLE kept (
    destination INTEGER NOT NULL REFERENCES destinations (key) ON DELETE CASCADE,
    resource_id TEXT NOT NULL,
    position    INTEGER NOT NULL,
    time        TEXT NOT NULL,
    PRIMARY KEY (destination, resource_id)
) STRICT, WITHOUT ROWID;

-- 1 for a deletion and for a deactivation, which overtake all else; else NULL.
ALTER TABLE changes ADD COLUMN leaver INTEGER;
CREATE INDEX changes_by_leaver ON changes (position) WHERE leaver = 1;
