"""A sender that cannot send, and says why each time: the destination then counts as failing, and holds nothing."""

from dataclasses import dataclass

from scimhub.distribution.delivery import Message, Outcome, Retry


@dataclass(frozen=True, slots=True)
class Unable:
    """In the place of a sender that could not be opened."""

    reason: str

    async def send(self, message: Message) -> Outcome:
        return Retry(self.reason, "destination")

    async def close(self) -> None:
        """Nothing is open."""
