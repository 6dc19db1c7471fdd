"""An invented organisation: its people, what becomes of each of them, and its groups; the same seed gives the same ones.

It knows no provider's wire format and no server: a ``Person`` is what the identity provider has on record about somebody at
one time, a ``Career`` is that person's whole story.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, TypeVar

Departure = Literal["stays", "deactivated", "deleted"]

_MOVERS = 0.3
_LEAVERS = 0.2
_REPORTS_PER_LEAD = 10
_RENAMED_EVERY = 3

_GIVEN = (
    ("Ines", "ines"),
    ("Jürgen", "juergen"),
    ("Łukasz", "lukasz"),
    ("Zoë", "zoe"),
    ("Søren", "soren"),
    ("Ngọc", "ngoc"),
    ("Ólafía", "olafia"),
    ("Siân", "sian"),
    ("Đorđe", "dorde"),
    ("Мария", "maria"),
    ("美咲", "misaki"),
    ("Αλέξης", "alexis"),
    ("Caspian", "caspian"),
    ("Tove", "tove"),
    ("Amélie", "amelie"),
    ("Iñaki", "inaki"),
    ("يوسف", "youssef"),
    ("Ebru", "ebru"),
    ("Jean-Luc", "jean-luc"),
    ("Wilhelmina", "wilhelmina"),
)
_FAMILY = (
    ("Okoro", "okoro"),
    ("Marchetti", "marchetti"),
    ("Brandvik", "brandvik"),
    ("O'Malley", "o'malley"),
    ("Kowalczyk", "kowalczyk"),
    ("Nguyễn", "nguyen"),
    ("Müller-Lüdenscheidt", "mueller-luedenscheidt"),
    ("Ørsted", "orsted"),
    ("Þórsdóttir", "thorsdottir"),
    ("佐藤", "sato"),
    ("Yıldız", "yildiz"),
    ("van der Berg", "vanderberg"),
    ("Çelik", "celik"),
    ("Иванова", "ivanova"),
    ("Quist", "quist"),
    ("Peña", "pena"),
    ("حداد", "haddad"),
    ("Tandrup", "tandrup"),
    ("Szabó", "szabo"),
    ("Voss", "voss"),
)
_DEPARTMENTS = ("Pilots", "Charts", "Moorings", "R&D", "Förvaltning", "Legal", "People & Culture", "営業")
_TITLES = ("Harbour Master", "Cartographer", "Deck Engineer", "Purser", "Ingénieur", "Analyst", "Signalman", "Accountant")
_GROUPS = ("Crew", "Night Watch", "Ops #1 (50%)", "Ausländerbüro", "VPN", "Licence: Charts", "Crane / East", "Board")


@dataclass(frozen=True, slots=True)
class Person:
    """What the provider has on record about somebody at one time. ``key`` and ``manager`` number people of one population."""

    key: int
    given_name: str
    family_name: str
    user_name: str
    title: str
    department: str
    employee_number: str
    phone: str
    manager: int | None
    groups: tuple[str, ...]

    @property
    def display_name(self) -> str:
        return f"{self.given_name} {self.family_name}"

    @property
    def email(self) -> str:
        return self.user_name


@dataclass(frozen=True, slots=True)
class Career:
    """One person's story: as joined, as moved (None: nothing changes), and how it ends."""

    joined: Person
    moved: Person | None = None
    departure: Departure = "stays"

    @property
    def key(self) -> int:
        return self.joined.key


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    external_id: str


@dataclass(frozen=True, slots=True)
class Population:
    """Everybody of one organisation. ``tag`` tells this population's throw-away names from another's."""

    domain: str
    tag: str
    careers: tuple[Career, ...]
    groups: tuple[Group, ...]

    def person(self, key: int) -> Person:
        """The person as joined."""
        return self.careers[key].joined

    def number(self, purpose: str) -> str:
        """A GUID for a purpose: random to the server, the same in every run."""
        return _guid(self.tag, purpose)


def populate(domain: str, people: int, *, groups: int | None = None, seed: int = 0) -> Population:
    """``people`` careers at ``domain``, about a third of them movers and a fifth leavers, in ``groups`` groups.

    Each seed has mail addresses and group names of its own, so that populations never meet on one server.
    """
    tag = f"{domain}/{seed}"
    random = Random(tag)  # noqa: S311  (invented names are no secrets)
    where = domain if seed == 0 else f"s{seed}.{domain}"
    company = domain.partition(".")[0].capitalize() + ("" if seed == 0 else f" {seed}")
    made_groups = _make_groups(company, tag, max(2, people // 10) if groups is None else groups)
    directory = _Personnel(random, where, [group.name for group in made_groups], max(1, -(-people // _REPORTS_PER_LEAD)))
    joined = [directory.hire(key) for key in range(people)]
    movers = set(_draw(random, range(people), _MOVERS))
    moved = {key: directory.move(joined[key], key % _RENAMED_EVERY == 0) for key in sorted(movers)}
    leading = {person.manager for person in (*joined, *moved.values())}
    # Nobody who leads leaves: what a server does with a reference to somebody deleted is its own affair.
    leavers = _draw(random, [key for key in range(people) if key not in leading], _LEAVERS, of=people)
    departures: dict[int, Departure] = {
        key: "deleted" if place % 2 else "deactivated" for place, key in enumerate(sorted(leavers))
    }
    careers = (Career(person, moved.get(person.key), departures.get(person.key, "stays")) for person in joined)
    return Population(where, tag, tuple(careers), made_groups)


class _Personnel:
    """Hires and moves people; remembers the user names that are taken."""

    def __init__(self, random: Random, domain: str, groups: Sequence[str], leads: int) -> None:
        self._random = random
        self._domain = domain
        self._groups = groups
        self._leads = leads
        self._taken: set[str] = set()

    def hire(self, key: int) -> Person:
        given, given_ascii = _choose(self._random, _GIVEN)
        family, family_ascii = _choose(self._random, _FAMILY)
        return Person(
            key=key,
            given_name=given,
            family_name=family,
            user_name=self._user_name(given_ascii, family_ascii),
            title=_choose(self._random, _TITLES),
            department=_choose(self._random, _DEPARTMENTS),
            employee_number=f"{70000 + key}",
            phone=f"+47 555 {key:05}",
            manager=self._lead(key),
            groups=self._memberships(),
        )

    def move(self, person: Person, is_renamed: bool) -> Person:
        """The same person in another department, and, when renamed, with another family and user name."""
        moved = replace(
            person,
            title=_choose(self._random, [title for title in _TITLES if title != person.title]),
            department=_choose(self._random, [name for name in _DEPARTMENTS if name != person.department]),
            manager=person.manager if person.key < self._leads else self._lead(person.key),
            groups=self._other_groups(person.groups),
        )
        if not is_renamed:
            return moved
        family, family_ascii = _choose(self._random, [name for name in _FAMILY if name[0] != person.family_name])
        given_ascii = next(plain for given, plain in _GIVEN if given == person.given_name)
        return replace(moved, family_name=family, user_name=self._user_name(given_ascii, family_ascii))

    def _user_name(self, given: str, family: str) -> str:
        local, number = f"{given}.{family}", 1
        while (name := f"{local}{number if number > 1 else ''}@{self._domain}") in self._taken:
            number += 1
        self._taken.add(name)
        return name

    def _lead(self, key: int) -> int | None:
        if key == 0:
            return None
        return 0 if key < self._leads else int(self._random.random() * self._leads)

    def _memberships(self) -> tuple[str, ...]:
        # One group stays free, so that there is one to change to.
        wanted = min(max(1, len(self._groups) - 1), 1 + int(self._random.random() * 3))
        return tuple(sorted(_shuffled(self._random, self._groups)[:wanted]))

    def _other_groups(self, groups: tuple[str, ...]) -> tuple[str, ...]:
        """One membership exchanged for another; in the only group there is, none."""
        free = [name for name in self._groups if name not in groups]
        if not free:
            return groups[1:]
        return tuple(sorted({*groups[1:], _choose(self._random, free)}))


def _make_groups(company: str, tag: str, number: int) -> tuple[Group, ...]:
    def name(place: int) -> str:
        again, theme = divmod(place, len(_GROUPS))
        return f"{company} {_GROUPS[theme]}" + (f" {again + 1}" if again else "")

    return tuple(Group(name(place), _guid(tag, f"group {place}")) for place in range(number))


def _guid(tag: str, purpose: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{tag} {purpose}"))


# Only Random.random() is promised to give the same numbers in every version of Python, so all drawing is built on it.

_T = TypeVar("_T")


def _choose(random: Random, items: Sequence[_T]) -> _T:
    return items[int(random.random() * len(items))]


def _shuffled(random: Random, items: Iterable[_T]) -> list[_T]:
    return [item for _, _, item in sorted((random.random(), place, item) for place, item in enumerate(items))]


def _draw(random: Random, items: Sequence[int], share: float, of: int | None = None) -> list[int]:
    """That share of the items, at least one when there is any."""
    wanted = max(1, round(share * (len(items) if of is None else of)))
    return _shuffled(random, items)[:wanted]
