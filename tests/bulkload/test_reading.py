"""Files as people have them: what is understood, and what is refused with which sentence."""

from pathlib import Path

import pytest

from scimhub.bulkload import reading
from scimhub.bulkload.reading import Document, Table, Unreadable


def table(tmp_path: Path, content: bytes, delimiter: str | None = None) -> Table:
    path = tmp_path / "people.csv"
    path.write_bytes(content)
    return Table(path, delimiter)


def rows(tmp_path: Path, content: bytes) -> list[tuple[int, list[str] | str]]:
    return [(row.line, row.problem or list(row.cells)) for row in table(tmp_path, content).rows()]


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"a,b\n1,2\n", [(2, ["1", "2"])]),
        (b"\xef\xbb\xbfa;b\r\n1;2\r\n", [(2, ["1", "2"])]),
        (b"a\tb\n1\t\n", [(2, ["1", ""])]),
        (b"sep=;\r\na;b\r\n1;2,3\r\n", [(3, ["1", "2,3"])]),
        (b'a,b\n"x\ny",1\nz,2', [(2, ["x\ny", "1"]), (4, ["z", "2"])]),
        (b'a,b\n"say ""hi""",1\n', [(2, ['say "hi"', "1"])]),
        (b"a,b\n\n,\n1,2\n", [(4, ["1", "2"])]),
        (b"a,b,,\n1,2,,\n", [(2, ["1", "2", "", ""])]),
        ("a\nœuf 日本\n".encode(), [(2, ["œuf 日本"])]),
        (b'"a, really";b\n1;2\n', [(2, ["1", "2"])]),
    ],
)
def test_tables_are_read_as_spreadsheets_write_them(tmp_path: Path, content: bytes, expected: list[object]):
    assert rows(tmp_path, content) == expected


def test_a_row_that_does_not_fit_the_header_is_a_problem_of_its_own(tmp_path: Path):
    assert rows(tmp_path, b"a,b,\n1\n1,2,\n1,2,3\n1,2,3,4\n") == [
        (2, "The row has 1 cells, the header 3; is a quote or a delimiter missing?"),
        (3, ["1", "2", ""]),
        (4, "The row has a value in a column without a name; name the column, or empty the cell."),
        (5, "The row has 4 cells, the header 3; is a quote or a delimiter missing?"),
    ]


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b"", "has no line with the names of its columns"),
        (b"\n\n", "has no line with the names of its columns"),
        (b"name,Name\n", "has the column 'Name' twice"),
        ("a\n1\nJosé\n".encode("latin-1"), "line 3 is not UTF-8 (the byte 0xE9); save it as UTF-8"),
        ("a\n1\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (b'a,b\n1,2\n"open,3\n4,5\n', "the row that begins on line 3 has a quote that is never closed"),
        (b'a,b\n1,2\n"x" y,3\n', "the row that begins on line 3 is no CSV"),
        (b"a,b\r1,2\r", "has a lone carriage return"),
        (
            b'a\n"' + b"x" * (10 * 1024 * 1024) + b'"\n',
            "the row that begins on line 2 has a cell of more than 1048576 characters",
        ),
    ],
    ids=["empty", "blank", "twice", "latin-1", "utf-16", "unclosed", "after-quote", "mac", "10-mb"],
)
def test_a_file_that_is_no_table_is_refused_with_the_line_and_what_to_do(tmp_path: Path, content: bytes, sentence: str):
    with pytest.raises(Unreadable) as refused:
        rows(tmp_path, content)
    assert sentence in str(refused.value)


def test_null_bytes_come_through_to_where_they_are_refused(tmp_path: Path):
    assert rows(tmp_path, b"a\nx\0y\n") == [(2, ["x\0y"])]


def documents(tmp_path: Path, content: bytes) -> list[Document]:
    path = tmp_path / "people.ndjson"
    path.write_bytes(content)
    return list(reading.documents(path))


def test_lines_of_json_are_read_one_by_one(tmp_path: Path):
    found = documents(tmp_path, b'\xef\xbb\xbf{"a": 1}\r\n\r\n[1]\n{"a": 1, "a": 2}\n{"b": 2}')
    assert [(each.line, each.document, each.problem) for each in found] == [
        (1, {"a": 1}, ""),
        (3, {}, "The line is a JSON array; it must be an object."),
        (4, {}, "The key 'a' stands twice in one object; send it once."),
        (5, {"b": 2}, ""),
    ]


def test_an_array_is_refused_with_the_command_that_makes_lines_of_it(tmp_path: Path):
    with pytest.raises(Unreadable, match=r"jq -c '\.\[\]'"):
        documents(tmp_path, b'[\n{"a": 1}]')


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading, "MOST_LINE", 1000)
    with pytest.raises(Unreadable, match="line 2 is longer than 1000 bytes"):
        documents(tmp_path, b"{}\n" + b"x" * 2000)


def test_the_name_tells_what_a_file_is():
    assert [reading.format_of(Path(name)) for name in ("a.CSV", "a.jsonl", "a.tsv")] == ["csv", "ndjson", "csv"]
    with pytest.raises(Unreadable, match="--format"):
        reading.format_of(Path("a.xlsx"))
