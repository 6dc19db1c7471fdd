-- Secrets are sealed from here on; an older program, which would sign with what it cannot read, refuses the database.

CREATE INDEX destination_secrets_by_key ON destination_secrets (key_id);
