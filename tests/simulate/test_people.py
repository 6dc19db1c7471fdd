import pytest

from scimhub.simulate import people
from scimhub.simulate.people import Person, Population

SIZES = (1, 2, 3, 7, 20, 137)


def invent(number: int = 137, **options: int) -> Population:
    return people.populate("kestrel.example", number, **options)


def test_the_same_seed_invents_the_same_people():
    assert invent(seed=3) == invent(seed=3)


def test_what_a_seed_invents_is_fixed_for_good():
    assert people.populate("kestrel.example", 2, seed=0).person(1) == Person(
        key=1,
        given_name="Tove",
        family_name="Voss",
        user_name="tove.voss@kestrel.example",
        title="Ingénieur",
        department="Charts",
        employee_number="70001",
        phone="+47 555 00001",
        manager=0,
        groups=("Kestrel Crew",),
    )


def test_another_seed_shares_no_user_name_and_no_group():
    def names(population: Population) -> set[str]:
        return {career.joined.user_name for career in population.careers} | {group.name for group in population.groups}

    assert names(invent(seed=0)) & names(invent(seed=1)) == set()


@pytest.mark.parametrize("number", SIZES)
def test_nobody_ever_has_another_ones_user_name(number):
    population = invent(number)
    owners: dict[str, set[int]] = {}
    for career in population.careers:
        for person in (career.joined, career.moved or career.joined):
            owners.setdefault(person.user_name, set()).add(person.key)
    assert {name: keys for name, keys in owners.items() if len(keys) > 1} == {}


@pytest.mark.parametrize("number", SIZES)
def test_who_leads_never_leaves(number):
    population = invent(number)
    times = [person for career in population.careers for person in (career.joined, career.moved) if person is not None]
    leads = {person.manager for person in times}
    assert [career.key for career in population.careers if career.key in leads and career.departure != "stays"] == []


@pytest.mark.parametrize("number", SIZES)
def test_every_line_of_managers_ends_at_the_first_person(number):
    population = invent(number)
    for career in population.careers:
        for start in (career.joined, career.moved or career.joined):
            line = [start.key]
            person = start
            while person.manager is not None:
                person = population.person(person.manager)
                assert person.key not in line
                line.append(person.key)
            assert line[-1] == 0


@pytest.mark.parametrize("number", SIZES)
def test_every_mover_changes_title_department_and_a_group(number):
    movers = [career for career in invent(number).careers if career.moved]
    assert movers
    for career in movers:
        assert career.moved.key == career.joined.key
        assert career.moved.title != career.joined.title
        assert career.moved.department != career.joined.department
        assert set(career.moved.groups) != set(career.joined.groups)


def test_some_movers_get_another_user_name_and_some_another_manager():
    movers = [career for career in invent().careers if career.moved]
    assert any(career.moved.user_name != career.joined.user_name for career in movers)
    assert any(career.moved.manager != career.joined.manager for career in movers)
    assert any(career.moved.user_name == career.joined.user_name for career in movers)


def test_leavers_are_a_fifth_and_half_of_them_are_deleted():
    departures = [career.departure for career in invent(100).careers]
    assert [departures.count(each) for each in ("stays", "deactivated", "deleted")] == [80, 10, 10]


def test_names_come_from_many_scripts_and_mail_addresses_do_not():
    people_ = [career.joined for career in invent(500).careers]
    letters = "".join(person.display_name for person in people_)
    assert {"ü", "Ł", "佐", "И", "ح"} <= set(letters)
    assert all(person.user_name.isascii() for person in people_)


@pytest.mark.parametrize("number", [0, 1, 2, 11])
def test_as_many_groups_as_asked_each_with_a_name_of_its_own(number):
    groups = invent(20, groups=number).groups
    assert len({group.name for group in groups}) == len(groups) == number
