"""What had to be done to a request so that it could be understood, for the exchange's record.

Silence is the enemy: whatever is rewritten or dropped on the way in is named here, and an administrator can read it.
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Notes:
    """Collected while one request is read. ``rewrites`` are names of dialect rules, each as often as it was applied."""

    rewrites: list[str] = field(default_factory=list)
    # Paths of what was not kept, such as `favouriteColour` or `urn:…:Acme`.
    dropped: list[str] = field(default_factory=list)
    # The dropped content itself by top-level name, kept until a schema adopts it (DECISIONS 17).
    unmapped: dict[str, object] = field(default_factory=dict)
    # Whether an object or list was passed over without a look at what is in it.
    has_unread: bool = False

    @property
    def tell_nothing(self) -> bool:
        """Whether all that was sent is what the schemas say, as they say it, and what is never returned was not there."""
        return not (self.rewrites or self.dropped or self.has_unread)

    def rewrote(self, rule: str) -> None:
        self.rewrites.append(rule)

    def drop(self, path: str, value: object) -> None:
        """Note that the value at the path was not kept; content under a top-level name stays for adoption."""
        self.dropped.append(path)
        self.unmapped[path] = value

    def mark(self) -> tuple[int, int]:
        """How far the notes go now; ``rewind`` returns to it, so that a computation can be made again."""
        return len(self.rewrites), len(self.dropped)

    def rewind(self, mark: tuple[int, int]) -> None:
        del self.rewrites[mark[0] :]
        for path in self.dropped[mark[1] :]:
            self.unmapped.pop(path, None)
        del self.dropped[mark[1] :]
