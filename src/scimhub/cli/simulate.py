"""The verb ``simulate``: an identity provider in the box. It is a client of any SCIM server and knows nothing of the hub."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, cast, get_args

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scimhub.cli import manage, output
from scimhub.simulate import comparison, people, providers, runner
from scimhub.simulate.comparison import Difference
from scimhub.simulate.people import Population
from scimhub.simulate.provider import Provider
from scimhub.simulate.report import TALLIES, Report
from scimhub.simulate.runner import Watch
from scimhub.simulate.steps import Unusable
from scimhub.simulate.stories import STORIES, Story

_DEFAULT_URL = "http://127.0.0.1:8080/scim/default/v2"
_MOST_FAILURES = 20


def simulate(
    provider: Annotated[str, typer.Argument(help=f"{', '.join(providers.NAMES)}.")],
    number: Annotated[int, typer.Option("--people", min=1, max=1_000_000, help="How many people the organisation has.")] = 20,
    story: Annotated[str, typer.Option(help="What happens to them, separated by commas.")] = ",".join(STORIES),
    base_url: Annotated[
        str, typer.Option(help="The SCIM base URL; with ?aadOptscim062020 Entra keeps to the RFC.")
    ] = _DEFAULT_URL,
    token: Annotated[str | None, typer.Option(envvar="SCIMHUB_BOOTSTRAP_TOKEN", help="The bearer token.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed invents other people.")] = 0,
    groups: Annotated[int | None, typer.Option(min=0, help="How many groups; a tenth of the people unless said.")] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Conversations at a time; the provider's own unless said.")
    ] = None,
    is_compared: Annotated[bool, typer.Option("--compare", help="Then read the server and say where it differs.")] = False,
    as_json: manage.AsJson = False,
) -> None:
    """Speak to a SCIM server as an identity provider does whose people join, move and leave."""
    shapes = providers.find(_name(provider), base_url)
    stories = _stories(story)
    population = people.populate(shapes.domain, number, groups=groups, seed=seed)
    with _progress(shapes.name) as watch:
        telling = _tell(shapes, population, stories, base_url, token, concurrency, is_compared, watch)
        report, differences = asyncio.run(telling)
    if as_json:
        compared = None if differences is None else [each.render() for each in differences]
        output.print_json(report.render() | {"differences": compared})
    else:
        _print_report(report, differences)
    raise typer.Exit(output.REFUSED if report.failures or differences else 0)


async def _tell(
    provider: Provider,
    population: Population,
    stories: list[Story],
    base_url: str,
    token: str | None,
    concurrency: int | None,
    is_compared: bool,
    watch: Watch,
) -> tuple[Report, list[Difference] | None]:
    async with runner.open_client(provider, token) as client:
        report = await runner.run(provider, population, stories, client, base_url, concurrency=concurrency, watch=watch)
        if not is_compared or not report.is_connected:
            return report, None
        try:
            return report, await comparison.compare(client, base_url, provider, population, stories)
        except (httpx.HTTPError, Unusable) as error:
            raise output.fail([f"The server could not be read to compare: {error}"]) from error


def _name(text: str) -> providers.Name:
    if text not in get_args(providers.Name):
        raise output.fail([f"There is no provider {text}; there are {', '.join(providers.NAMES)}."], output.WRONG_SETTINGS)
    return cast(providers.Name, text)  # just looked up


def _stories(text: str) -> list[Story]:
    asked = [each.strip() for each in text.split(",")]
    chosen = [story for story in STORIES if story in asked]
    if unknown := [each for each in asked if each not in STORIES]:
        problem = f"There is no story {', '.join(unknown) or 'without a name'}; there are {', '.join(STORIES)}."
        raise output.fail([problem], output.WRONG_SETTINGS)
    return chosen


@contextmanager
def _progress(name: str) -> Iterator[Watch]:
    """A bar on a terminal, moved by the function given."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        shown = bar.add_task(name, total=None)
        yield lambda phase, ended, total: bar.update(shown, description=f"{name}: {phase}", completed=ended, total=total)


def _print_report(report: Report, differences: list[Difference] | None) -> None:
    rows = [
        [
            str(each["request"]),
            str(each["count"]),
            ", ".join(f"{count} × {status}" for status, count in cast(dict[str, int], each["statuses"]).items()),
            f"{each['p50_ms']} ms",
            f"{each['p99_ms']} ms",
        ]
        for each in report.kinds()
    ]
    output.print_table(("request", "count", "statuses", "p50", "p99"), rows, "No request was sent.")
    print(", ".join(f"{report.tally(of)} {of}" for of in TALLIES))
    print(f"{report.requests} requests in {report.seconds:.1f} s, {report.retries} retries, {len(report.failures)} failures")
    for failure in report.failures[:_MOST_FAILURES]:
        asked = f"{failure.kind} answered {failure.status or 'nothing'}"
        print(f"Failed: {failure.phase} of {failure.subject}: {asked}: {failure.detail}")
    if len(report.failures) > _MOST_FAILURES:
        print(f"… and {len(report.failures) - _MOST_FAILURES} more; --json prints all.")
    if differences is not None:
        print("The server holds what it should." if not differences else f"{len(differences)} differences:")
        for difference in differences[:_MOST_FAILURES]:
            print(f"  {difference}")
