-- The position behind which a node's snapshots need the log; it holds as long as the node is seen now and then.

ALTER TABLE nodes ADD COLUMN pinned BIGINT;
