-- Content that no schema knew was kept with its secrets in clear: whatever has a name that promises one goes (scim/secret_names.py).

UPDATE unmapped SET document = (
    SELECT json_group_object(top.key, json(unmapped.document -> top.fullkey))
    FROM json_each(unmapped.document) AS top
    WHERE NOT EXISTS (
        SELECT 1
        FROM (
            -- A path has several names, each of which ends with a point here.
            SELECT replace(replace(replace(replace(lower(named.name) || '.', '[', '.'), ':', '.'), '_', ''), '-', '') AS names
            FROM (SELECT top.key AS name UNION ALL SELECT inner.key FROM json_tree(unmapped.document, top.fullkey) AS inner) AS named
        )
        WHERE names LIKE '%password%' OR names LIKE '%passwd%' OR names LIKE '%passphrase%' OR names LIKE '%passcode%'
           OR names LIKE '%secret.%' OR names LIKE '%token.%' OR names LIKE '%apikey.%'
    )
)
WHERE document LIKE '%pass%' OR document LIKE '%secret%' OR document LIKE '%token%' OR document LIKE '%api%';

DELETE FROM unmapped WHERE document = '{}';
