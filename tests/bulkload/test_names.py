"""Names of resources in a file, and the ids that are derived from them."""

import re

from scimhub import clock
from scimhub.bulkload import names
from scimhub.scim.catalog import standard_catalog

KINDS = dict(standard_catalog().kinds)
JOB = "01a216a9-c7f2-701c-82df-dfb4e19b0981"


def digest(attribute: str, value: object) -> int:
    name = names.name_of(KINDS["User"], attribute, value)
    assert name is not None
    return name.digest


def test_names_are_equal_as_the_directory_compares_them():
    assert digest("userName", "INES@example.com") == digest("userName", "ines@example.com")
    assert digest("externalId", "A") != digest("externalId", "a")
    assert digest("userName", "a") != digest("externalId", "a")
    assert names.name_of(KINDS["Group"], "userName", "a") is None
    assert names.name_of(KINDS["User"], "userName", 1) is None


def test_a_derived_id_is_a_uuid_of_its_job_and_its_name():
    name = names.name_of(KINDS["User"], "userName", "ines")
    assert name is not None
    id = names.derived_id(JOB, name)
    assert re.fullmatch(r"01a216a9-c7f2-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", id)
    assert names.derived_id(JOB, name) == id
    assert names.derived_id(clock.new_id(), name) != id
    assert names.derived_id(JOB, name._replace(value="kim")) != id


def test_a_reference_by_external_id_may_mean_a_user_or_a_group():
    (member,) = names.members_of({"members": [{"externalId": "7"}]})
    assert [name.kind for name in member.names(KINDS)] == ["User", "Group"]
    (member,) = names.members_of({"members": [{"externalId": "7", "type": "Group"}]})
    assert [name.kind for name in member.names(KINDS)] == ["Group"]
    (member,) = names.members_of({"members": [{"displayName": "sales"}]})
    assert [name.kind for name in member.names(KINDS)] == ["Group"]
