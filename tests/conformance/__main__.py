"""``python -m tests.conformance`` writes docs/conformance.md; with ``--check`` it only says what is wrong."""

import sys

from tests.conformance import matrix


def main(arguments: list[str]) -> int:
    areas = matrix.load_areas()
    exemptions = matrix.load_exemptions(areas)
    claims = matrix.collect_claims()
    wrong = matrix.problems(areas, exemptions, claims)
    page = matrix.render(areas, exemptions, claims)
    if "--check" in arguments:
        if not matrix.PAGE.exists() or matrix.PAGE.read_text("utf-8") != page:
            wrong.append("docs/conformance.md is not what the tests say; run `make conformance`.")
    else:
        matrix.PAGE.write_text(page, "utf-8")
    for sentence in wrong:
        print(sentence)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
