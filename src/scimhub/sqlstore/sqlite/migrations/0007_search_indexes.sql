-- Attributes whose texts an administrator has chosen to be searched. What is found by is in tables of each index's own,
-- `search_N` and `beginnings_N`, which triggers on `resources` keep; see `sqlite.text_index`.

CREATE TABLE search_indexes (
    number         INTEGER PRIMARY KEY AUTOINCREMENT,
    directory      INTEGER NOT NULL REFERENCES directories (key),
    kind           TEXT NOT NULL,
    path           TEXT NOT NULL,
    state          TEXT NOT NULL,
    has_beginnings INTEGER NOT NULL,
    -- The key up to which resources of before are in it.
    walked         INTEGER NOT NULL DEFAULT 0,
    done           INTEGER NOT NULL DEFAULT 0,
    total          INTEGER NOT NULL,
    created        TEXT NOT NULL,
    UNIQUE (directory, kind, path)
) STRICT;
