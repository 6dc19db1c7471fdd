"""What SQLite and PostgreSQL write differently, for statements that are put together from a filter (``Dialect``).

All other statements are constants in the writing that both understand, or that ``postgres.translation`` brings over.
"""

from collections.abc import Hashable
from typing import Protocol

from scimhub.sqlstore.text_index import TextIndex

# The names on the way into a JSON document: an extension's URN, an attribute, a sub-attribute.
JsonPath = tuple[str, ...]


class Dialect(Hashable, Protocol):
    """Pieces of SQL. ``type`` is that of RFC 7643 §2.3; booleans are 1 and 0, instants texts."""

    # How search indexes are made and asked.
    @property
    def texts(self) -> TextIndex: ...

    def json_value(self, document: str, path: JsonPath, type: str) -> str:
        """The simple value at the path, comparable with a bound one; NULL when there is none."""

    def json_exists(self, document: str, path: JsonPath) -> str:
        """Whether there is anything at the path."""

    def json_differs(self, path: JsonPath) -> str:
        """Whether there is something else at the path of ``normal`` in row ``NEW`` than in row ``OLD``."""

    def json_each(self, document: str, path: JsonPath, name: str) -> str:
        """Rows called ``name`` whose ``value`` is an element of the array at the path and ``key`` its place."""

    def json_is_present(self, document: str, path: JsonPath) -> str:
        """Whether there is anything under the path but empty strings."""

    def json_list(self) -> str:
        """The strings of a JSON array that is bound, for use after IN."""

    def among(self, key: str, keys: str) -> str:
        """Whether the key is one that the SELECT gives, in a way that has the SELECT carried out first."""

    def contains(self, value: str) -> str:
        """Whether the value contains the text that is bound."""

    def ends(self, value: str, length: int) -> str:
        """The last ``length`` characters of the value."""

    def unindexed(self, column: str) -> str:
        """The column, not to be looked up in an index of its own."""

    def members_json(self) -> str:
        """The statement for a group's members as JSON; see ``memberships.members_json``."""

    def some_members_json(self) -> str:
        """The statement for some members as JSON, and how many they are; see ``memberships.some_json``."""

    def document_text(self, document: str, name: str) -> str:
        """The text of the attribute of that name in a stored document."""

    @property
    def appends_to(self) -> str:
        """The table where writers leave their changes."""

    def explain(self, sql: str) -> str:
        """The statement that tells how the database would carry this one out."""
