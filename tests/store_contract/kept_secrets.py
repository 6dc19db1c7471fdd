"""Content that was kept for adoption, and what a migration leaves of it: nothing that promises a secret."""

from typing import Final

KEPT: Final = (
    '{"colour":"red","n":1,"on":true,"none":null,"urn:example:2.0:X":{"a.b":["token"]}}',
    '{"colour":"red","apiKey":"s3cr3t"}',
    '{"DB_Password":"s3cr3t"}',
    '{"vendor":{"logins":[{"client-secret":"s3cr3t"}]},"hat":[1,2]}',
    '{"urn:example:2.0:Vendor":{"access_token":"s3cr3t"},"vendor.token":"s3cr3t"}',
    # Paths of several names, and what PostgreSQL's jsonb does not hold.
    '{"hat":3,"clientSecret.value":"s3cr3t","api_key[type eq \\"a\\"]":"s3cr3t"}',
    '{"hat":{"token":"s3cr3t\\u0000"}}',
)
# By place.
LEFT: Final = [(0, KEPT[0]), (1, '{"colour":"red"}'), (3, '{"hat":[1,2]}'), (5, '{"hat":3}')]
