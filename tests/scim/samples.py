"""A catalog with one attribute of every sort, and short ways to say what a test is about."""

from hypothesis import strategies as st

from scimhub.scim import catalog, patch, resource, schema
from scimhub.scim.catalog import ENTERPRISE_URN, GROUP_URN, USER_URN, Kind
from scimhub.scim.dialects import LENIENT, STRICT, Dialect
from scimhub.scim.errors import ScimError
from scimhub.scim.notes import Notes
from scimhub.scim.schema import SchemaExtension

BADGE_URN = "urn:example:scim:schemas:Badge"
OFFICE_URN = "urn:example:scim:schemas:extension:Office:2.0:Badge"
SEAT_URN = "urn:example:scim:schemas:extension:Seat:2.0:Badge"

BADGE = schema.parse_schema(
    {
        "id": BADGE_URN,
        "attributes": [
            {"name": "number", "required": True, "uniqueness": "server", "caseExact": True},
            {"name": "serial", "mutability": "immutable"},
            {"name": "level", "type": "integer", "indexed": True},
            {"name": "weight", "type": "decimal"},
            {"name": "expires", "type": "dateTime", "indexed": True},
            {"name": "lost", "type": "boolean", "indexed": True},
            {"name": "photo", "type": "binary"},
            {"name": "home", "type": "reference", "referenceTypes": ["external"]},
            {"name": "pin", "mutability": "writeOnly", "returned": "never"},
            {"name": "printed", "type": "dateTime", "mutability": "readOnly"},
            {"name": "tags", "multiValued": True},
            {"name": "marks", "type": "complex", "multiValued": True},
            {
                "name": "chip",
                "type": "complex",
                "subAttributes": [
                    {"name": "maker", "required": True},
                    {"name": "id", "mutability": "immutable"},
                    {"name": "keys", "multiValued": True},
                    {"name": "secret", "returned": "never"},
                ],
            },
            {
                "name": "vault",
                "type": "complex",
                "returned": "never",
                "subAttributes": [{"name": "value"}, {"name": "code", "type": "integer"}],
            },
            {
                "name": "racks",
                "type": "complex",
                "multiValued": True,
                "subAttributes": [{"name": "value", "multiValued": True}, {"name": "type"}, {"name": "label"}],
            },
            {
                "name": "doors",
                "type": "complex",
                "multiValued": True,
                "required": True,
                "subAttributes": [
                    {"name": "door", "required": True},
                    {"name": "hours"},
                    {"name": "code", "mutability": "readOnly"},
                ],
            },
        ],
    }
)
OFFICE = schema.parse_schema({"id": OFFICE_URN, "attributes": [{"name": "floor", "required": True}, {"name": "room"}]})
SEAT = schema.parse_schema(
    {"id": SEAT_URN, "attributes": [{"name": "desk"}, {"name": "room"}, {"name": "lock", "mutability": "immutable"}]}
)

CATALOG = catalog.build_catalog(
    2,
    [*catalog.standard_schemas(), BADGE, OFFICE, SEAT],
    [
        *catalog.STANDARD_TYPES,
        schema.ResourceType("Badge", "/Badges", "", BADGE_URN, (SchemaExtension(OFFICE_URN, True), SchemaExtension(SEAT_URN))),
    ],
)
USER, GROUP, BADGE_KIND = CATALOG.kinds["User"], CATALOG.kinds["Group"], CATALOG.kinds["Badge"]

# What a Badge needs at least.
LEAST_BADGE: dict[str, object] = {
    "schemas": [BADGE_URN, OFFICE_URN],
    "number": "B1",
    "doors": [{"door": "north"}],
    OFFICE_URN: {"floor": "3"},
}


def user(**attributes: object) -> dict[str, object]:
    return {"schemas": [USER_URN], "userName": "kim@x.example", **attributes}


def group(**attributes: object) -> dict[str, object]:
    return {"schemas": [GROUP_URN], "displayName": "Pilots", **attributes}


def enterprise(**attributes: object) -> dict[str, object]:
    return {ENTERPRISE_URN: attributes}


def badge(**attributes: object) -> dict[str, object]:
    return {**LEAST_BADGE, **attributes}


def kind_of(body: dict[str, object]) -> Kind:
    return BADGE_KIND if "number" in body else USER if "userName" in body else GROUP


def created(body: dict[str, object], dialect: Dialect = STRICT, notes: Notes | None = None) -> dict[str, object]:
    """The document of a POST, without its schemas."""
    document = dict(resource.check_create(body, kind_of(body), dialect, notes or Notes()).document)
    del document["schemas"]
    return document


def stored(body: dict[str, object]) -> dict[str, object]:
    return resource.check_create(body, kind_of(body), LENIENT, Notes()).document


def parsed(
    *operations: object, kind: Kind = USER, dialect: Dialect = STRICT, notes: Notes | None = None, id: str = "u1"
) -> patch.Patch:
    message = {"schemas": [patch.PATCH_URN], "Operations": list(operations)}
    return patch.parse_patch(message, kind, dialect, notes or Notes(), id)


def patched(
    document: dict[str, object], *operations: object, dialect: Dialect = STRICT, notes: Notes | None = None
) -> dict[str, object]:
    """The document after the operations."""
    kind, notes = kind_of(document), notes or Notes()
    wanted = parsed(*operations, kind=kind, dialect=dialect, notes=notes)
    return patch.apply_patch(document, wanted, kind, dialect, notes)


def outcome(error: ScimError) -> tuple[int, str | None]:
    return error.status, error.scim_type


def check_refusal(error: ScimError, opening: str = "") -> None:
    """A refusal of a body is the client's fault, has a keyword and is one sentence."""
    assert error.status == 400
    assert error.scim_type is not None
    assert error.detail.endswith(".")
    assert error.detail.startswith(opening)


# --------------------------------------------------------------------------- anything at all

# fmt: off
NAMES = [
    "schemas", "userName", "USERNAME", "name", "name.givenName", "emails", "members", "active", "externalId", "id", "meta",
    "groups", ENTERPRISE_URN, f"{ENTERPRISE_URN}:manager", "manager", "password", "photos", "x509Certificates", "value",
    "type", "primary", "$ref", "display", "displayName", "chip", "doors", "tags", "marks", "level", "expires", "number",
    OFFICE_URN, BADGE_URN, "emails[0]", "",
]
PATHS = [
    *NAMES, "emails.value", 'emails[type eq "work"]', 'emails[type eq "work"].value', "emails[primary eq true].primary",
    'members[value eq "u1"]', "members.value", 'tags[value eq "a"]', 'doors[door eq "north"].door', "chip.maker", "chip.id",
    f"{ENTERPRISE_URN}:manager.value", "urn:acme:2.0:User:badge", 'addresses[type eq "home" or type eq "work"]',
]
# fmt: on
SIMPLE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["True", "work", USER_URN, "bulkId:x", "u1"])
)
ANY_JSON = st.recursive(
    SIMPLE,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=12,
)
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "replace", "remove", "Replace"])},
    optional={"path": st.sampled_from(PATHS) | st.text(max_size=5), "value": ANY_JSON},
)
