"""Files as they come from HR systems, Excel and other SCIM servers, read row by row and never held whole.

A file that cannot be what it should be raises Unreadable, whose sentence names the line and says what to do. A single row
that is wrong is returned with its problem, so that the others go on.
"""

import csv
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from scimhub.scim import message
from scimhub.scim.errors import ScimError

Format = Literal["csv", "ndjson"]
FORMATS: dict[str, Format] = {".csv": "csv", ".tsv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
DELIMITERS = ",;\t|"
# The longest cell, and the longest line of JSON; a group of 100,000 members takes some 10 MB.
MOST_CELL = 1024 * 1024
MOST_LINE = 32 * 1024 * 1024
_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_UTF8_MARK = b"\xef\xbb\xbf"
_ENCODING = "save it as UTF-8 (in Excel: CSV UTF-8), or convert it: iconv -f {encoding} -t utf-8 FILE > NEW"


class Unreadable(Exception):
    """The file as a whole cannot be taken; the text is one sentence for an administrator."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: the line on which it begins, and its cells, or what is wrong with it."""

    line: int
    cells: Sequence[str] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """One line of JSON: its number, and the object on it, or what is wrong with it."""

    line: int
    document: dict[str, object]
    problem: str = ""


def format_of(path: Path) -> Format:
    """What the file's name says that it is; raises Unreadable when it says nothing."""
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise Unreadable(f"{path} is called neither .csv nor .ndjson; say what it is with --format.")
    return found


# --------------------------------------------------------------------------- tables


class Table:
    """A CSV file: its ``header``, and its rows each time they are asked for."""

    def __init__(self, path: Path, delimiter: str | None = None) -> None:
        self._path = path
        # The csv module has but one limit for the whole program; nobody else sets it.
        csv.field_size_limit(MOST_CELL)
        with _open(path) as file:
            first = next(_lines(file), "")
            self._skipped = 0
            if first.lower().startswith("sep=") and len(first.strip()) == 5:
                # Excel writes its separator so.
                delimiter = delimiter or first.strip()[4]
                self._skipped = 1
                first = next(_lines(file, 1), "")
        self.delimiter = delimiter or _delimiter_of(first)
        rows = self._parsed()
        header = next(rows, None)
        rows.close()
        if header is None or not any(cell.strip() for cell in header.cells):
            raise Unreadable(f"{path} has no line with the names of its columns.")
        self.header = [cell.strip() for cell in header.cells]
        _check_header(path, self.header)

    def rows(self) -> Iterator[Row]:
        """The rows behind the header; empty ones are passed over. Raises Unreadable."""
        width = len(self.header)
        rows = self._parsed()
        next(rows, None)
        for row in rows:
            if not any(row.cells):
                continue
            if len(row.cells) != width:
                yield Row(
                    row.line, (), f"The row has {len(row.cells)} cells, the header {width}; is a quote or a delimiter missing?"
                )
            elif any(cell and not name for name, cell in zip(self.header, row.cells, strict=True)):
                yield Row(row.line, (), "The row has a value in a column without a name; name the column, or empty the cell.")
            else:
                yield row

    def _parsed(self) -> Generator[Row, None, None]:
        with _open(self._path) as file:
            lines = _lines(file)
            for _ in range(self._skipped):
                next(lines)
            reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
            before = 0
            try:
                for cells in reader:
                    yield Row(before + 1 + self._skipped, cells)
                    before = reader.line_num
            except csv.Error as error:
                raise Unreadable(_sentence(self._path, before + 1 + self._skipped, str(error))) from error


def _sentence(path: Path, line: int, error: str) -> str:
    if "field larger" in error:
        return (
            f"{path}: the row that begins on line {line} has a cell of more than {MOST_CELL} characters; "
            "most likely a quote is not closed there."
        )
    if "unexpected end" in error:
        return f"{path}: the row that begins on line {line} has a quote that is never closed."
    if "new-line character" in error:
        return f"{path}: line {line} has a lone carriage return; save the file with the line ends of Windows or Unix."
    return f"{path}: the row that begins on line {line} is no CSV: {error}; is a quote not doubled?"


def _delimiter_of(first: str) -> str:
    """The delimiter that parts the header into most columns."""

    def columns(delimiter: str) -> int:
        try:
            return len(next(csv.reader([first], delimiter=delimiter), []))
        except csv.Error:
            return 0

    return max(DELIMITERS, key=columns)


def _check_header(path: Path, header: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in header:
        if name and name.lower() in seen:
            raise Unreadable(f"{path} has the column {name[:100]!r} twice; rename one of them, or take it out.")
        seen.add(name.lower())


# --------------------------------------------------------------------------- lines of JSON


def documents(path: Path) -> Iterator[Document]:
    """The JSON objects of the file, one on each line; empty lines are passed over. Raises Unreadable."""
    with _open(path) as file:
        for number, line in enumerate(_lines(file), 1):
            text = line.strip()
            if not text:
                continue
            if number == 1 and text.startswith("["):
                raise Unreadable(f"{path} is one JSON array; make lines of it: jq -c '.[]' {path} > NEW.ndjson")
            try:
                yield Document(number, dict(message.parse_object(text.encode())))
            except ScimError as error:
                yield Document(number, {}, error.detail.replace("The body", "The line"))


# --------------------------------------------------------------------------- bytes


def _open(path: Path) -> BinaryIO:
    try:
        file = path.open("rb")
        beginning = file.read(3)
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}.") from error
    for mark, encoding in _MARKS.items():
        if beginning.startswith(mark):
            file.close()
            raise Unreadable(f"{path} is {encoding}; {_ENCODING.format(encoding=encoding.lower())}")
    file.seek(len(_UTF8_MARK) if beginning == _UTF8_MARK else 0)
    return file


def _lines(file: BinaryIO, skipped: int = 0) -> Iterator[str]:
    """The lines with their ends; raises Unreadable for what is not UTF-8, or a line without end."""
    number = skipped
    while raw := file.readline(MOST_LINE + 1):
        number += 1
        if len(raw) > MOST_LINE:
            raise Unreadable(f"{file.name}: line {number} is longer than {MOST_LINE} bytes; is it one resource on each line?")
        try:
            yield raw.decode()
        except UnicodeDecodeError as error:
            byte = raw[error.start]
            how = _ENCODING.format(encoding="windows-1252")
            raise Unreadable(f"{file.name}: line {number} is not UTF-8 (the byte 0x{byte:02X}); {how}") from error
