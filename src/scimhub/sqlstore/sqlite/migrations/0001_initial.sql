-- The first shape of a hub's database.
--
-- `key` is a small integer that never leaves the process and is never given out twice; `id` is what the world sees.
-- Times are RFC 3339 texts in UTC with milliseconds. `key_id` names the key that a row's personal data is encrypted
-- with; NULL means that it is not.

CREATE TABLE hub (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- ---------------------------------------------------------------- administration

CREATE TABLE directories (
    key                INTEGER PRIMARY KEY AUTOINCREMENT,
    name               TEXT NOT NULL UNIQUE,
    created            TEXT NOT NULL,
    catalog_version    INTEGER NOT NULL,
    -- The schemas and resource types added to the standard ones, as one JSON document.
    additions          TEXT NOT NULL,
    -- Deleting takes two steps; this is when the first was taken.
    deletion_requested TEXT
) STRICT;

CREATE TABLE sources (
    key       INTEGER PRIMARY KEY AUTOINCREMENT,
    directory INTEGER NOT NULL REFERENCES directories (key),
    name      TEXT NOT NULL,
    dialect   TEXT NOT NULL,
    on_return TEXT NOT NULL,
    created   TEXT NOT NULL,
    -- The row outlives the source: resources and changes name the source that wrote them.
    deleted   TEXT
) STRICT;
CREATE UNIQUE INDEX sources_by_name ON sources (directory, name) WHERE deleted IS NULL;

CREATE TABLE tokens (
    id          TEXT PRIMARY KEY,
    source      INTEGER NOT NULL REFERENCES sources (key),
    digest      BLOB NOT NULL UNIQUE,
    hint        TEXT NOT NULL,
    permissions TEXT NOT NULL,
    created     TEXT NOT NULL,
    expires     TEXT,
    revoked     TEXT,
    last_used   TEXT
) STRICT;
CREATE INDEX tokens_by_source ON tokens (source);

-- ---------------------------------------------------------------- resources

CREATE TABLE resources (
    -- AUTOINCREMENT: a key in a page cursor must not come to mean another resource.
    key           INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE,
    directory     INTEGER NOT NULL,
    kind          TEXT NOT NULL,
    version       INTEGER NOT NULL,
    created       TEXT NOT NULL,
    last_modified TEXT NOT NULL,
    created_by    INTEGER,
    modified_by   INTEGER,
    key_id        TEXT,
    display       TEXT,
    -- The bytes of the answer. `normal` holds the same attributes in normal form, which filters and sorting read.
    document      TEXT NOT NULL,
    normal        BLOB NOT NULL
) STRICT;
-- The rowid, which is `key`, ends every index entry: lists come out in order of creation without sorting.
CREATE INDEX resources_by_kind ON resources (directory, kind);

-- The externalId that a source gave a resource.
CREATE TABLE links (
    source      INTEGER NOT NULL,
    resource    INTEGER NOT NULL,
    external_id TEXT NOT NULL,
    directory   INTEGER NOT NULL,
    key_id      TEXT,
    PRIMARY KEY (source, resource)
) STRICT, WITHOUT ROWID;
CREATE INDEX links_by_external_id ON links (source, external_id);
CREATE INDEX links_by_resource ON links (resource);

CREATE TABLE unique_values (
    directory INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    path      TEXT NOT NULL,
    value     TEXT NOT NULL,
    resource  INTEGER NOT NULL,
    key_id    TEXT,
    PRIMARY KEY (directory, kind, path, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX unique_values_by_resource ON unique_values (resource);

CREATE TABLE attribute_values (
    directory INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    path      TEXT NOT NULL,
    value     TEXT NOT NULL,
    resource  INTEGER NOT NULL,
    key_id    TEXT,
    PRIMARY KEY (directory, kind, path, value, resource)
) STRICT, WITHOUT ROWID;
CREATE INDEX attribute_values_by_resource ON attribute_values (resource);

CREATE TABLE memberships (
    group_key INTEGER NOT NULL,
    member    INTEGER NOT NULL,
    PRIMARY KEY (group_key, member)
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_by_member ON memberships (member, group_key);

-- What a source sent that no schema knew: kept, not served, until a schema adopts it.
CREATE TABLE unmapped (
    source    INTEGER NOT NULL,
    resource  INTEGER NOT NULL,
    directory INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    document  TEXT NOT NULL,
    key_id    TEXT,
    PRIMARY KEY (source, resource)
) STRICT, WITHOUT ROWID;
CREATE INDEX unmapped_by_kind ON unmapped (directory, kind, resource);
CREATE INDEX unmapped_by_resource ON unmapped (resource);

-- How many resources there are: the sum of the amounts. Deltas are folded together now and then.
CREATE TABLE counters (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    directory INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    amount    INTEGER NOT NULL
) STRICT;
CREATE INDEX counters_by_kind ON counters (directory, kind, amount);

-- ---------------------------------------------------------------- what was

-- Rows are never removed (purging blanks them), so SQLite's next rowid keeps positions dense.
CREATE TABLE changes (
    position        INTEGER PRIMARY KEY,
    id              TEXT NOT NULL UNIQUE,
    operation       TEXT NOT NULL,
    directory       INTEGER NOT NULL,
    kind            TEXT NOT NULL,
    resource_id     TEXT NOT NULL,
    version         INTEGER NOT NULL,
    source          INTEGER,
    exchange_id     TEXT NOT NULL,
    time            TEXT NOT NULL,
    after           TEXT,
    before          TEXT,
    external_id     TEXT,
    members_added   TEXT,
    members_removed TEXT,
    key_id          TEXT
) STRICT;

CREATE TABLE tombstones (
    id          TEXT PRIMARY KEY,
    directory   INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    -- The version of the deletion itself; a revived resource goes on from there.
    version     INTEGER NOT NULL,
    created     TEXT NOT NULL,
    deleted     TEXT NOT NULL,
    deleted_by  INTEGER,
    purge_after TEXT NOT NULL,
    document    TEXT NOT NULL,
    -- JSON array of [path, value].
    unique_keys TEXT NOT NULL,
    key_id      TEXT
) STRICT;
CREATE INDEX tombstones_by_purge ON tombstones (purge_after);
CREATE INDEX tombstones_by_directory ON tombstones (directory);

-- The links of what was deleted, as rows, so that a returning person is found by externalId.
CREATE TABLE tombstone_links (
    source      INTEGER NOT NULL,
    external_id TEXT NOT NULL,
    tombstone   TEXT NOT NULL REFERENCES tombstones (id) ON DELETE CASCADE,
    directory   INTEGER NOT NULL,
    key_id      TEXT,
    PRIMARY KEY (source, external_id, tombstone)
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstone_links_by_tombstone ON tombstone_links (tombstone);
