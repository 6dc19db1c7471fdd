"""What can be set and what is measured is documented, by test and not by good intentions."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def anchors(page: Path) -> set[str]:
    """What a link may name behind ``#``: each heading in lower case, spaces as hyphens, without punctuation."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_setting_is_documented():
    from scimhub.settings import Settings

    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    missing = [name for name in Settings.model_fields if f"SCIMHUB_{name.upper()}" not in page]
    assert missing == []


def test_every_documented_setting_exists():
    from scimhub.settings import Settings

    known = {f"SCIMHUB_{name.upper()}" for name in Settings.model_fields}
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    # SCIMHUB_CONFIG names the file that the others may stand in.
    assert set(re.findall(r"\bSCIMHUB_[A-Z_]+\b", page)) - known == {"SCIMHUB_CONFIG"}


def test_every_rule_of_a_dialect_is_documented_and_no_other():
    from scimhub.scim.dialects import HUB_RULES, RULES

    rows = {f"| `{name}` | {rule.description} | {rule.vendor} |" for name, rule in RULES.items()}
    rows |= {f"| `{name}` | {description} |" for name, description in HUB_RULES.items()}
    page = (ROOT / "docs" / "dialects.md").read_text("utf-8")
    assert {line for line in page.splitlines() if line.startswith("| `")} == rows


def test_every_decision_page_has_its_own_number():
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    assert numbers == sorted(set(numbers))
    for page in pages:
        assert page.read_text("utf-8").startswith(f"# {int(page.name[:4])}. "), page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(page):
    links = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text("utf-8"))
    assert [link for link, _ in links if not (page.parent / link).exists()] == []
    headed = [((page.parent / link) if link else page, anchor) for link, anchor in links if anchor]
    assert [anchor for to, anchor in headed if to.suffix == ".md" and anchor not in anchors(to)] == []


def test_the_readme_names_every_page():
    named = set(re.findall(r"\]\((docs/[^)#]+\.md)", (ROOT / "README.md").read_text("utf-8")))
    assert {str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")} - named == set()


def test_constraints_pin_exact_versions_and_name_no_place():
    lines = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert len(lines) > 30
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+!]*", line)] == []
