"""One directory of the demonstration: made in the hub, filled by its provider, copied by a webhook and by a feed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx

from scimhub.demo import equality
from scimhub.demo.follower import Follower
from scimhub.demo.hub import Hub, HubFailed
from scimhub.demo.receiver import Mailbox, Receiver
from scimhub.demo.result import Flow, Holding, Told, holding
from scimhub.simulate import comparison, people, providers, runner
from scimhub.simulate.people import Population
from scimhub.simulate.provider import Provider
from scimhub.simulate.runner import Watch
from scimhub.simulate.steps import Memory, Unusable
from scimhub.simulate.stories import STORIES, Story

WEBHOOK, FEED = "webhook", "feed"


@dataclass(slots=True)
class Stage:
    """``token`` is the provider's, ``feed_token`` the consumer's; ``name`` is that of directory, source and provider."""

    name: str
    provider: Provider
    memory: Memory
    base_url: str
    token: str
    feed_token: str
    mailbox: Mailbox
    follower: Follower
    stories: list[Story] = field(default_factory=list)

    @property
    def population(self) -> Population:
        return self.memory.population

    def flows(self) -> list[Flow]:
        """What arrived by either way."""
        return [Flow(self.name, WEBHOOK, self.mailbox.receipts), Flow(self.name, FEED, self.follower.receipts)]


async def build(hub: Hub, receiver: Receiver, name: providers.Name, number: int, seed: int, copies: Path) -> Stage:
    """The directory with its source, token and destinations, and the ends that receive; raises HubFailed."""
    provider = providers.find(name)
    await hub.ask("POST", "directories", json={"name": name})
    await hub.ask("POST", "directories", name, "sources", json={"name": name})
    token = await hub.ask("POST", "directories", name, "sources", name, "tokens", json={"expires": "1d"})
    url = receiver.address(f"/{name}")
    webhook = {"name": WEBHOOK, "kind": WEBHOOK, "configuration": {"url": url}}
    made = await hub.ask("POST", "directories", name, "destinations", json=webhook)
    mailbox = receiver.mailboxes[f"/{name}"] = Mailbox(made["secret"], copies / f"{name}-webhook.db")
    # In this organisation a fifth leaves within a second, which is what the brake is there to stop.
    await hub.ask("PUT", "directories", name, "destinations", WEBHOOK, "brake", json={"enabled": False})
    feed = await hub.ask("POST", "directories", name, "destinations", json={"name": FEED, "kind": FEED})
    checked = await hub.ask("POST", "directories", name, "destinations", WEBHOOK, "check")
    if checked["outcome"] != "delivered":
        raise HubFailed(f"The test event for {name} did not arrive: {checked['reason']}")
    return Stage(
        name=name,
        provider=provider,
        memory=Memory(people.populate(provider.domain, number, seed=seed)),
        base_url=token["base_url"],
        token=token["secret"],
        feed_token=feed["secret"],
        mailbox=mailbox,
        follower=Follower(f"{hub.url}/feed/v1/{name}", feed["secret"], copies / f"{name}-feed.db"),
    )


async def tell(stage: Stage, story: Story, watch: Watch) -> Told:
    """Have the provider tell one story more."""
    began = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    async with runner.open_client(stage.provider, stage.token) as client:
        report = await runner.run(
            stage.provider, stage.population, [story], client, stage.base_url, memory=stage.memory, watch=watch
        )
    stage.stories.append(story)
    if story == STORIES[0]:
        # The feed's consumer comes late, so that its snapshot has something in it.
        stage.follower.start()
    return Told(stage.name, story, began, report)


async def compare(stage: Stage) -> list[Holding]:
    """What the hub and either copy hold; raises httpx.HTTPError."""
    async with runner.open_client(stage.provider, stage.token) as client:
        hub = await equality.read_hub(client, stage.base_url)
        believed = await _compare_with_belief(stage, client)
    copies = {WEBHOOK: stage.mailbox.copy, FEED: stage.follower.copy}
    found = [holding(stage.name, "hub", hub, believed)]
    for destination, file in copies.items():
        copy = equality.read_copy(file)
        found.append(holding(stage.name, destination, copy, equality.differences(hub, copy)))
    return found


async def _compare_with_belief(stage: Stage, client: httpx.AsyncClient) -> list[str]:
    try:
        found = await comparison.compare(client, stage.base_url, stage.provider, stage.population, stage.stories)
    except Unusable as error:
        return [str(error)]
    return [str(difference) for difference in found]


def problems(stage: Stage, told: list[Told]) -> Iterator[str]:
    """What went wrong in the directory, beside differences."""
    for each in told:
        for failure in each.report.failures:
            yield f"{stage.name}: {each.story} of {failure.subject} failed: {failure.kind}: {failure.detail}"
    if stage.follower.problem is not None:
        yield stage.follower.problem
    if stage.mailbox.receipts.refused:
        yield f"{stage.name}: {stage.mailbox.receipts.refused} webhooks bore a signature that does not fit."
