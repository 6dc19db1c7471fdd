"""The stories as phases of tasks: tasks of one phase run side by side, a phase begins when the one before has ended."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Literal

from scimhub.simulate import provider as providing
from scimhub.simulate.people import Career, Group, Person
from scimhub.simulate.provider import GroupShapes, Provider
from scimhub.simulate.steps import Conversation, Memory

Story = Literal["join", "move", "leave"]
STORIES: tuple[Story, ...] = ("join", "move", "leave")

# What a task that went well adds to: people joined, people moved …; None for the steps in between.
Tally = Literal["joined", "moved", "left", "deleted", "groups"]


@dataclass(frozen=True, slots=True)
class Task:
    """A conversation about one person or group; ``open`` starts it from its beginning, also a second time."""

    subject: str
    open: Callable[[], Conversation]
    tally: Tally | None = None


@dataclass(frozen=True, slots=True)
class Phase:
    """``is_retried`` is false for the connection test: an administrator waits for what it says."""

    name: str
    tasks: tuple[Task, ...]
    is_retried: bool = True


def phases(provider: Provider, stories: Sequence[Story], memory: Memory) -> list[Phase]:
    """All that the provider does for the population, the connection test first."""
    planned = [Phase("connection test", (Task("connection", partial(provider.check, memory)),), is_retried=False)]
    if "join" in stories:
        planned += _join(provider, memory)
    if "move" in stories:
        planned += _move(provider, memory)
    if "leave" in stories:
        planned += _leave(provider, stories, memory)
    if provider.survey is not None:
        planned.append(Phase("import", (Task("import", provider.survey),)))
    return [phase for phase in planned if phase.tasks]


def _join(provider: Provider, memory: Memory) -> Iterator[Phase]:
    population = memory.population
    people = [career.joined for career in population.careers]

    def depth(person: Person) -> int:
        return 0 if person.manager is None else 1 + depth(population.person(person.manager))

    waves = groupby(sorted(people, key=depth), depth) if provider.manager_first else [(0, iter(people))]
    for _, wave in waves:
        yield _phase("join", (_task(each, partial(providing.join, provider, each, memory), "joined") for each in wave))
    yield _references(provider, people, memory)
    if provider.groups is not None:
        yield _phase("groups", _pushes(provider.groups, people, memory))


def _move(provider: Provider, memory: Memory) -> Iterator[Phase]:
    movers = [career for career in memory.population.careers if career.moved is not None]
    yield _phase("move", (_task(each.joined, partial(providing.move, provider, each, memory), "moved") for each in movers))
    yield _references(
        provider, [each.moved for each in movers if each.moved and each.moved.manager != each.joined.manager], memory
    )

    def changed(group: Group) -> tuple[list[Career], list[Career]]:
        added = [each for each in movers if each.moved and _enters(group, each.joined, each.moved)]
        removed = [each for each in movers if each.moved and _enters(group, each.moved, each.joined)]
        return added, removed

    yield _phase("groups", _changes(provider, memory, changed))


def _leave(provider: Provider, stories: Sequence[Story], memory: Memory) -> Iterator[Phase]:
    leavers = [career for career in memory.population.careers if career.departure != "stays"]
    if provider.groups is not None and provider.groups.drops_leavers:

        def left(group: Group) -> tuple[list[Career], list[Career]]:
            return [], [each for each in leavers if group.name in _last_groups(each, stories)]

        yield _phase("groups", _changes(provider, memory, left))
    deactivations = (_task(each.joined, partial(providing.deactivate, provider, each, memory), "left") for each in leavers)
    yield _phase("leave", deactivations)
    if provider.deletes:
        gone = [career for career in leavers if career.departure == "deleted"]
        deletions = (_task(each.joined, partial(providing.delete, provider, each, memory), "deleted") for each in gone)
        yield _phase("delete", deletions)


def _references(provider: Provider, people: Iterable[Person], memory: Memory) -> Phase:
    led = [person for person in people if person.manager is not None] if provider.refer is not None else []
    return _phase("references", (_task(each, partial(providing.refer, provider, each, memory)) for each in led))


def _pushes(shapes: GroupShapes, people: Sequence[Person], memory: Memory) -> Iterator[Task]:
    for group in memory.population.groups:
        members = [person for person in people if group.name in person.groups]
        if members or shapes.creates_empty:
            yield Task(group.name, partial(_push, shapes, group, members, memory), "groups")


def _changes(
    provider: Provider, memory: Memory, members: Callable[[Group], tuple[list[Career], list[Career]]]
) -> Iterator[Task]:
    """A task for each group whose members change; ``members`` gives who comes and who goes."""
    if provider.groups is None:
        return
    for group in memory.population.groups:
        added, removed = members(group)
        if added or removed:
            yield Task(group.name, partial(_change, provider, provider.groups, group, added, removed, memory), "groups")


def _push(shapes: GroupShapes, group: Group, members: Sequence[Person], memory: Memory) -> Conversation:
    # Whoever could not join is no member; the failure is counted where it happened.
    yield from shapes.push(group, memory.known(members), memory)


def _change(
    provider: Provider,
    shapes: GroupShapes,
    group: Group,
    added: Sequence[Career],
    removed: Sequence[Career],
    memory: Memory,
) -> Conversation:
    for career in (*added, *removed):
        yield from providing.recall(provider, career, memory)
    if group.name not in memory.groups:
        # Pushing is how a provider links a group whose id it does not know; what is there already is not made again.
        yield from shapes.push(group, [], memory)
    entering, leaving = (memory.known([each.moved or each.joined for each in careers]) for careers in (added, removed))
    yield from shapes.change(group, entering, leaving, memory)


def _last_groups(career: Career, stories: Sequence[Story]) -> frozenset[str]:
    """The groups to leave; when an earlier run may have moved the person, those of both times."""
    times = [career.joined if "move" not in stories else career.moved or career.joined]
    if "join" not in stories:
        times = [career.joined, career.moved or career.joined]
    return frozenset(name for person in times for name in person.groups)


def _enters(group: Group, before: Person, after: Person) -> bool:
    return group.name in after.groups and group.name not in before.groups


def _task(person: Person, open_: Callable[[], Conversation], tally: Tally | None = None) -> Task:
    return Task(person.user_name, open_, tally)


def _phase(name: str, tasks: Iterable[Task]) -> Phase:
    return Phase(name, tuple(tasks))
