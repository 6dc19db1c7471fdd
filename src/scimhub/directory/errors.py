"""The faults that are not SCIM's. ``web.errors`` is the one place where they become a status."""


class Fault(Exception):
    """The parent of the faults below; its text is one sentence for an administrator."""


class Absent(Fault):
    """The directory, source, token or schema that was named is not there."""


class Conflict(Fault):
    """The wish contradicts what is there: a name that is taken, a schema that data depends on."""


class Invalid(Fault):
    """The wish is malformed; ``problems`` has one sentence for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


class StoreUnavailable(Fault):
    """The database cannot be written or read now (full disk, I/O error); nothing was acknowledged."""


class StoreUnusable(Fault):
    """The database cannot be opened: held by another process, newer than this program, or damaged."""


class StoreEmpty(StoreUnusable):
    """The database has nothing in it yet, and whoever opened it only looks."""


class KeysUnusable(Fault):
    """The keys with which secrets are sealed cannot be read or written."""
