-- Why something is held; the brake on removals; and where the log has those who leave.

ALTER TABLE held ADD COLUMN cause TEXT COLLATE "C" NOT NULL DEFAULT 'failure';
ALTER TABLE held ADD COLUMN until BIGINT;
ALTER TABLE held ADD COLUMN removes TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE held ADD COLUMN removed BIGINT NOT NULL DEFAULT 0;

ALTER TABLE destinations ADD COLUMN brake TEXT NOT NULL DEFAULT '{}';
ALTER TABLE destinations ADD COLUMN brake_state TEXT NOT NULL DEFAULT '{}';

CREATE TABLE kept (
    destination BIGINT NOT NULL REFERENCES destinations (key) ON DELETE CASCADE,
    resource_id TEXT COLLATE "C" NOT NULL,
    position    BIGINT NOT NULL,
    time        TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (destination, resource_id)
);

ALTER TABLE changes ADD COLUMN leaver BIGINT;
ALTER TABLE staged_changes ADD COLUMN leaver BIGINT;
CREATE INDEX changes_by_leaver ON changes (position) WHERE leaver = 1;
