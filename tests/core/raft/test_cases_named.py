"""Every corner case of R28 has a test that names its number; where not yet, this page says it."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent.parent.parent
CASES = range(1, 71)

# Number -> where its test must go, once what it needs is there. An entry that has a test is wrong.
MISSING: dict[int, str] = {}


def named() -> dict[int, list[str]]:
    """By number: the tests that name it, by `case_07` in their name or Raft-cases 7 in words."""
    found: dict[int, list[str]] = {}
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            numbers = re.findall(r"case_(\d\d)", node.name)
            for text in re.findall(r"[Rr]aft-cases? ([\d, ]+)", ast.get_docstring(node) or ""):
                numbers += re.findall(r"\d+", text)
            for number in numbers:
                found.setdefault(int(number), []).append(f"{path.relative_to(TESTS)}::{node.name}")
    return found


def test_every_corner_case_is_named_by_a_test() -> None:
    assert set(named()) | set(MISSING) == set(CASES)


def test_what_is_missing_is_really_missing() -> None:
    assert {number: tests for number, tests in named().items() if number in MISSING} == {}
