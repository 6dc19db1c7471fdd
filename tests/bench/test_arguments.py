"""The command line of the benchmark says where, how large and how long; what cannot be measured is refused with a sentence."""

import pytest

from bench import arguments
from bench.arguments import ROOT


def test_without_arguments_everything_is_measured_and_published():
    options = arguments.parse([])
    assert options.databases == ("sqlite", "postgres")
    assert (options.users, options.members) == ((1_000, 10_000, 100_000), (1_000, 10_000, 100_000))
    assert (options.rounds, options.seconds, options.has_peer) == (5, 1.0, True)
    assert options.folder == ROOT / "docs"


def test_sizes_are_sorted_and_told_once():
    options = arguments.parse(["--database", "sqlite", "--users", "10_000,1000,1000", "--members", "1000", "--seconds", "0.5"])
    assert (options.databases, options.users, options.members, options.seconds) == (("sqlite",), (1_000, 10_000), (1_000,), 0.5)


def test_groups_are_no_larger_than_the_population():
    assert arguments.parse(["--users", "10000"]).members == (1_000, 10_000)
    assert arguments.parse(["--users", "100"]).members == ()


@pytest.mark.parametrize("part", [["--quick"], ["--only", "get"]])
def test_a_part_of_it_replaces_nothing_that_is_published(part):
    assert arguments.parse(part).folder == ROOT / "build"


def test_a_quick_run_may_be_made_longer():
    options = arguments.parse(["--quick", "--rounds", "7"])
    assert (options.rounds, options.seconds, options.users) == (7, 0.5, (1_000, 10_000))


@pytest.mark.parametrize(
    "wrong, told",
    [
        (["--users", "1000", "--members", "5000"], "no group of 5,000 can be made of 1,000 users"),
        (["--users", "0"], "--users"),
        (["--users", "many"], "--users"),
        (["--members", "1000,"], "--members"),
        (["--seconds", "nan"], "--seconds"),
        (["--rounds", "-1"], "--rounds"),
        (["--database", "oracle"], "--database"),
    ],
)
def test_what_cannot_be_measured_is_refused(wrong, told, capsys):
    with pytest.raises(SystemExit) as ended:
        arguments.parse(wrong)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err
