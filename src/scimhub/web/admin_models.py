"""The shapes of the admin API, in and out. They are the OpenAPI description, and what ``--json`` prints: keys stay."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from scimhub.directory.records import Directory, IndexState, Permission, Returning, SearchIndex, Source, Token
from scimhub.directory.schemas import Offered, Report

Time = Annotated[str, Field(description="RFC 3339, UTC, milliseconds.", examples=["2026-11-23T20:41:35.123Z"])]


class Wish(BaseModel):
    """What comes in; a key that means nothing is a mistake, not decoration."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """Why something was refused (RFC 9457); ``problems`` has one sentence for each mistake."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    problems: list[str] = []


# --------------------------------------------------------------------------- directories


class NewDirectory(Wish):
    name: str = Field(description="1 to 63 lower-case letters, digits and hyphens.", examples=["acme"])


class DirectoryShown(BaseModel):
    """One isolated set of users, groups and other resources."""

    name: str
    base_url: str = Field(description="The SCIM base URL to paste into the identity provider.")
    created: Time
    catalog_version: int
    deletion_requested: Time | None
    resources: dict[str, int] | None = Field(
        None, description="How many resources there are of each type; only when one is shown."
    )


class Directories(BaseModel):
    items: list[DirectoryShown]


def show_directory(directory: Directory, base_url: str, resources: dict[str, int] | None = None) -> DirectoryShown:
    """The directory as the API shows it; ``base_url`` is the hub's."""
    return DirectoryShown(
        name=directory.name,
        base_url=scim_url(base_url, directory.name),
        created=directory.created,
        catalog_version=directory.catalog_version,
        deletion_requested=directory.deletion_requested,
        resources=resources,
    )


def scim_url(base_url: str, directory: str) -> str:
    """The SCIM base URL of a directory."""
    return f"{base_url}/scim/{directory}/v2"


# --------------------------------------------------------------------------- sources


class NewSource(Wish):
    name: str = Field(description="1 to 63 lower-case letters, digits and hyphens.", examples=["okta"])
    dialect: str = Field("lenient", description="lenient or strict.")
    returning: str = Field("new", description="What a POST for a person who was deleted does: new or external_id.")


class SourceWish(Wish):
    dialect: str | None = None
    returning: str | None = None


class SourceShown(BaseModel):
    """One connection that writes to a directory."""

    name: str
    directory: str
    base_url: str
    dialect: str
    returning: Returning
    created: Time


class Sources(BaseModel):
    items: list[SourceShown]


def show_source(source: Source, directory: Directory, base_url: str) -> SourceShown:
    """The source as the API shows it."""
    return SourceShown(
        name=source.name,
        directory=directory.name,
        base_url=scim_url(base_url, directory.name),
        dialect=source.dialect,
        returning=source.returning,
        created=source.created,
    )


# --------------------------------------------------------------------------- tokens


class NewToken(Wish):
    permissions: list[str] = Field(["read", "write"], description="read, write or both.")
    expires: str = Field("1y", description="never, a period such as 90d, 12h or 1y, or a date such as 2027-01-31.")


class TokenShown(BaseModel):
    """A bearer token without its secret."""

    id: str
    hint: str = Field(description="The last characters of the secret.")
    permissions: list[Permission]
    state: Literal["valid", "expired", "revoked"]
    created: Time
    expires: Time | None
    revoked: Time | None
    last_used: Time | None


class Tokens(BaseModel):
    items: list[TokenShown]


class TokenMade(TokenShown):
    """A new token with its secret, which is shown this once."""

    secret: str
    base_url: str


def show_token(token: Token, now: str) -> TokenShown:
    """The token as the API shows it at that moment."""
    return TokenShown(
        id=token.id,
        hint=token.hint,
        permissions=sorted(token.permissions),
        state="revoked" if token.revoked is not None else "expired" if token.has_expired(now) else "valid",
        created=token.created,
        expires=token.expires,
        revoked=token.revoked,
        last_used=token.last_used,
    )


# --------------------------------------------------------------------------- schemas


class SchemaShown(BaseModel):
    """A schema or a resource type of a directory."""

    id: str = Field(description="The schema's URN, or the resource type's name.")
    name: str = Field(description="The schema's name, or the resource type's endpoint.")
    kind: Literal["schema", "type"]
    origin: Literal["standard", "added"]
    types: list[str] = Field(description="The resource types that the schema belongs to.")
    attributes: int


class Schemas(BaseModel):
    items: list[SchemaShown]


class SchemaReport(BaseModel):
    """What became of a change of schemas."""

    catalog_version: int
    schemas: list[str]
    resource_types: list[str]
    rewritten: int = Field(description="Resources whose index rows were made anew.")
    adopted: int = Field(description="Resources that got what sources had sent before the schema was there.")
    not_adopted: int = Field(description="Resources whose kept content does not fit the schema; it stays kept.")
    warnings: list[str] = Field(description="What sources will notice, such as a name that needs its URN from now on.")


def show_schema(offered: Offered) -> SchemaShown:
    """The schema or type as a list shows it."""
    return SchemaShown(
        id=offered.id,
        name=offered.name,
        kind="type" if offered.is_type else "schema",
        origin="standard" if offered.is_standard else "added",
        types=list(offered.types),
        attributes=offered.attributes,
    )


def show_report(report: Report) -> SchemaReport:
    """The report as the API shows it."""
    return SchemaReport(
        catalog_version=report.catalog_version,
        schemas=list(report.schemas),
        resource_types=list(report.resource_types),
        rewritten=report.rewritten,
        adopted=report.adopted,
        not_adopted=report.not_adopted,
        warnings=list(report.warnings),
    )


# --------------------------------------------------------------------------- search indexes


class NewIndex(Wish):
    attribute: str = Field(description="The attribute, as a filter names it.", examples=["userName", "emails.value"])
    type: str = Field("User", description="The resource type.")


class IndexShown(BaseModel):
    """What lets filters look into the texts of one attribute without reading every resource."""

    directory: str
    type: str
    attribute: str
    state: IndexState = Field(description="Filters use it when it is ready.")
    operators: list[str] = Field(description="What it answers; co and ew from three characters on.")
    done: int = Field(description="Resources that are in it.")
    total: int = Field(description="About how many there were when it was begun.")
    created: Time


class Indexes(BaseModel):
    items: list[IndexShown]


def show_index(index: SearchIndex, directory: str) -> IndexShown:
    """The index as the API shows it."""
    return IndexShown(
        directory=directory,
        type=index.kind,
        attribute=index.path,
        state=index.state,
        operators=["co", "ew", "sw", "eq"] if index.has_beginnings else ["co", "ew"],
        done=index.done,
        total=max(index.done, index.total),
        created=index.created,
    )


# --------------------------------------------------------------------------- the hub


class NewBackup(Wish):
    file: str = Field(description="Over the local socket an absolute path; else a file name, kept beside the database.")


class BackupMade(BaseModel):
    file: str
    size: int = Field(description="Bytes.")


class Finding(BaseModel):
    """One thing that was looked at; a sentence that is not OK says what to do."""

    verdict: Literal["OK", "WARN", "FAIL"]
    subject: str
    sentence: str


class Check(BaseModel):
    """What SQLite finds when it looks through the whole file; what there is to say of a PostgreSQL server."""

    problems: list[str]
    size: int
    wal_size: int
    free_disk: int
    findings: list[Finding] = Field([], description="Of a PostgreSQL server.")
    nodes: int = Field(0, description="How many hubs were seen on a PostgreSQL database within the last minute.")


class Status(BaseModel):
    """The running hub in short."""

    version: str
    base_url: str
    log_epoch: str
    last_position: int
    last_change: Time | None
    directories: int
    check: Check | None = Field(None, description="Only when asked for: the check reads the whole file.")
