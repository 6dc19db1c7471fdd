"""The shape that CONTRIBUTING.md promises: small modules, small functions, telling names, a sentence at the top of each."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted([*ROOT.glob("src/scimhub/**/*.py"), *ROOT.glob("bench/**/*.py")])
CODE = [module for module in MODULES if module.read_text("utf-8").strip()]

NAMED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

LONGEST_MODULE = 400
LONGEST_FUNCTION = 40
DEEPEST_INDENT = 4

BANNED = frozenset(
    {
        "util",
        "utils",
        "helper",
        "helpers",
        "manager",
        "common",
        "misc",
        "base",
        "data",
        "info",
        "handler",
        "process",
        "do",
        "my",
    }
)
# Names that an RFC or a library gives us.
ALLOWED_NAMES = {
    "is_base_urn": "RFC 7643 §3: the base schema of a resource type",
    "_manager": "RFC 7643 §4.3: the attribute manager",
    "manager_of": "RFC 7643 §4.3: the attribute manager",
    "base_url": "RFC 7644 §1.3: the base URI",
    "data_directory": "the directory ./data, as administrators know it from other servers",
    "common_attributes": "RFC 7643 §3.1: common attributes",
    "data_received": "asyncio's name for the arrival of bytes",
}
# Functions that are longer than 40 lines, each with the reason why cutting it would make it worse.
ALLOWED_LENGTHS: dict[str, str] = {
    "bench/requests.py:user": "one document; in pieces nobody could see what is sent",
}
ALLOWED_DEPTHS: dict[str, str] = {}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Its lines without decorators and docstring."""
    last = function.end_lineno or function.lineno
    first = function.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    documented = (first.end_lineno or first.lineno) - first.lineno + 1 if is_docstring else 0
    return last - function.lineno + 1 - documented


def depth(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many levels its deepest statement is indented below its own line."""
    inner = (node for node in ast.walk(function) if isinstance(node, ast.stmt) and node.lineno > function.body[0].lineno)
    return (max((node.col_offset for node in inner), default=function.col_offset) - function.col_offset) // 4


def words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def test_there_is_code_to_look_at():
    assert len(CODE) > 20


def test_no_module_is_longer_than_400_lines():
    lengths = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_no_function_is_longer_than_40_lines():
    long = {f"{name_of(path)}:{function.name}": length(function) for path in CODE for function in functions(path)}
    assert {name: lines for name, lines in long.items() if lines > LONGEST_FUNCTION and name not in ALLOWED_LENGTHS} == {}


def test_no_statement_is_indented_by_more_than_4_levels():
    deep = {f"{name_of(path)}:{function.name}": depth(function) for path in CODE for function in functions(path)}
    assert {name: levels for name, levels in deep.items() if levels > DEEPEST_INDENT and name not in ALLOWED_DEPTHS} == {}


def test_every_module_opens_with_a_sentence():
    openings = {name_of(path): ast.get_docstring(tree_of(path)) or "" for path in CODE}
    # A full stop, or the colon before a list, within the first paragraph.
    silent = [name for name, text in openings.items() if not re.search(r"[.:!]", text.partition("\n\n")[0])]
    assert silent == []


def test_names_say_what_a_thing_is():
    named = [(name_of(path), path.parent.name if path.stem == "__init__" else path.stem) for path in MODULES]
    for path in CODE:
        nodes = ast.walk(tree_of(path))
        named += [(name_of(path), node.name) for node in nodes if isinstance(node, NAMED)]
    vague = [f"{where}: {name}" for where, name in named if words(name) & BANNED and name not in ALLOWED_NAMES]
    assert vague == []


@pytest.mark.parametrize("module", [path for path in CODE if "/scim/" in path.as_posix()], ids=name_of)
def test_the_pure_core_neither_waits_nor_reads_a_clock(module):
    source = module.read_text("utf-8")
    assert not [node for node in ast.walk(tree_of(module)) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    assert not re.search(r"\b(datetime\.now|utcnow|\.today)\(", source)
