-- Exchanges and attempts to deliver: a record for debugging, in partitions that lie outside the write-ahead log.
--
-- A partition is a range of times, at most a day long, and is made and dropped as a whole (`postgres.partitions`). A crash of
-- the server empties them all; the numbers only order what has the same time.

CREATE UNLOGGED SEQUENCE exchange_numbers CACHE 64;

CREATE TABLE exchanges (
    time           TEXT COLLATE "C" NOT NULL,
    number         BIGINT NOT NULL DEFAULT nextval('exchange_numbers'),
    id             TEXT COLLATE "C" NOT NULL,
    directory      TEXT COLLATE "C" NOT NULL,
    source         TEXT COLLATE "C" NOT NULL,
    method         TEXT COLLATE "C" NOT NULL,
    path           TEXT NOT NULL,
    status         BIGINT NOT NULL,
    duration_us    BIGINT NOT NULL,
    rewrites       TEXT NOT NULL,
    dropped        TEXT NOT NULL,
    resource_kind  TEXT COLLATE "C" NOT NULL,
    resource_id    TEXT COLLATE "C" NOT NULL,
    change_ids     TEXT NOT NULL,
    detail         TEXT NOT NULL,
    key_id         TEXT,
    query          TEXT NOT NULL,
    headers        TEXT NOT NULL,
    -- NULL with a size: there was a body, which is not kept.
    request        TEXT,
    request_size   BIGINT NOT NULL,
    request_is_cut BOOLEAN NOT NULL,
    answer         TEXT,
    answer_size    BIGINT NOT NULL,
    answer_is_cut  BOOLEAN NOT NULL,
    -- Whether the resource's document is missing in the answer, and how it may be shown: see Body.
    answer_rest    TEXT NOT NULL,
    PRIMARY KEY (time, number)
) PARTITION BY RANGE (time);
CREATE INDEX exchanges_by_id ON exchanges (id);
CREATE INDEX exchanges_by_resource ON exchanges (resource_id, time, number) WHERE resource_id <> '';

CREATE TABLE attempts (
    time           TEXT COLLATE "C" NOT NULL,
    number         BIGINT NOT NULL DEFAULT nextval('exchange_numbers'),
    directory      TEXT COLLATE "C" NOT NULL,
    destination    TEXT COLLATE "C" NOT NULL,
    delivery_id    TEXT NOT NULL,
    change_id      TEXT NOT NULL,
    resource_id    TEXT COLLATE "C" NOT NULL,
    first_position BIGINT NOT NULL,
    position       BIGINT NOT NULL,
    attempt        BIGINT NOT NULL,
    outcome        TEXT NOT NULL,
    status         BIGINT,
    duration_us    BIGINT NOT NULL,
    detail         TEXT NOT NULL,
    excerpt        TEXT NOT NULL,
    key_id         TEXT,
    PRIMARY KEY (time, number)
) PARTITION BY RANGE (time);
CREATE INDEX attempts_by_resource ON attempts (resource_id, time, number);
