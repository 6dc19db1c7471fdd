-- Content that no schema knew was kept with its secrets in clear: whatever has a name that promises one goes (scim/secret_names.py).

-- jsonb holds no NUL, and would keep the hub from starting: such content goes as a whole.
DELETE FROM unmapped WHERE document ~* 'pass|secret|token|api' AND strpos(document, '\u0000') > 0;

UPDATE unmapped SET document = (
    SELECT coalesce(jsonb_object_agg(top.key, top.value), '{}')::text
    FROM jsonb_each(document::jsonb) AS top
    WHERE NOT jsonb_path_exists(
        jsonb_build_object(top.key, top.value),
        -- A path has several names.
        '$.** ? (@.type() == "object").keyvalue()
            ? (@.key like_regex "pass[_-]*(word|wd|phrase|code)|(secret|token|api[_-]*key)(\\.|:|\\[|$)" flag "i")'
    )
)
WHERE document ~* 'pass|secret|token|api';

DELETE FROM unmapped WHERE document = '{}';
