-- What destinations that keep resources of their own have been given: under which id, and what was written last.

CREATE TABLE remote_resources (
    destination   BIGINT NOT NULL REFERENCES destinations (key) ON DELETE CASCADE,
    resource_id   TEXT COLLATE "C" NOT NULL,
    resource_type TEXT COLLATE "C" NOT NULL,
    -- NULL while it is not known, or no longer there.
    remote_id     TEXT COLLATE "C",
    state         TEXT COLLATE "C" NOT NULL,
    version       BIGINT NOT NULL,
    etag          TEXT COLLATE "C",
    -- JSON object: for each path that was written the digest of its value.
    written       TEXT COLLATE "C" NOT NULL,
    -- The resource whose remote id is still to be written into this one.
    awaits        TEXT COLLATE "C",
    -- When it is to be deleted for good; NULL when it is not.
    delete_at     TEXT COLLATE "C",
    updated       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (destination, resource_id)
);
CREATE UNIQUE INDEX remote_resources_by_remote_id ON remote_resources (destination, resource_type, remote_id);
CREATE INDEX remote_resources_by_awaited ON remote_resources (destination, awaits) WHERE awaits IS NOT NULL;
CREATE INDEX remote_resources_by_deletion ON remote_resources (destination, delete_at) WHERE delete_at IS NOT NULL;

-- One row for each member that a group of ours has at the destination, or is to get or lose.
CREATE TABLE remote_members (
    destination BIGINT NOT NULL REFERENCES destinations (key) ON DELETE CASCADE,
    group_id    TEXT COLLATE "C" NOT NULL,
    member_id   TEXT COLLATE "C" NOT NULL,
    -- waiting: to be added; written: added; leaving: to be removed.
    state       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (destination, group_id, member_id)
);
CREATE INDEX remote_members_by_member ON remote_members (destination, member_id);
CREATE INDEX remote_members_by_state ON remote_members (destination, group_id, state);
