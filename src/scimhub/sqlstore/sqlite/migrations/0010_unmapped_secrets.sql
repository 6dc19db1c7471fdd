-- Content that no schema knew was kept with its secrets in clear: whatever has a name that promises one goes (scim/secret_names.py).

CREATE TEMP VIEW secret_names AS
SELECT u.source, u.resource, top.fullkey AS place
FROM main.unmapped AS u, json_each(u.document) AS top
WHERE EXISTS (
    SELECT 1
    FROM (SELECT top.key AS name UNION ALL SELECT inner.key FROM json_tree(u.document, top.fullkey) AS inner) AS named
    WHERE replace(replace(lower(named.name), '_', ''), '-', '') LIKE '%password%'
       OR replace(replace(lower(named.name), '_', ''), '-', '') LIKE '%passwd%'
       OR replace(replace(lower(named.name), '_', ''), '-', '') LIKE '%passphrase%'
       OR replace(replace(lower(named.name), '_', ''), '-', '') LIKE '%passcode%'
       OR replace(replace(lower(named.name), '_', ''), '-', '') LIKE '%secret'
       OR replace(replace(lower(named.name), '_', ''), '-', '') LIKE '%token'
       OR replace(replace(lower(named.name), '_', ''), '-', '') LIKE '%apikey'
);

UPDATE unmapped SET document = (
    SELECT json_group_object(top.key, json(unmapped.document -> top.fullkey))
    FROM json_each(unmapped.document) AS top
    WHERE top.fullkey NOT IN (
        SELECT place FROM secret_names AS s WHERE s.source = unmapped.source AND s.resource = unmapped.resource
    )
)
WHERE EXISTS (SELECT 1 FROM secret_names AS s WHERE s.source = unmapped.source AND s.resource = unmapped.resource);

DELETE FROM unmapped WHERE document = '{}';

DROP VIEW secret_names;
