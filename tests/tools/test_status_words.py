"""What a status says in words, however odd it is."""

from typing import Any

import pytest

from tools.status_words import member_rows, node_rows, remarks


def test_a_node_without_a_status_is_named_by_its_address() -> None:
    headings, row = node_rows([("a:1", None)])
    assert row[:2] == ["a:1", "no answer"]
    assert len(row) == len(headings)


@pytest.mark.parametrize(
    ("strike", "words"),
    [
        (None, []),
        ({"kind": "disk", "why": "fsync failed"}, ["n1 is on strike (disk): its disk failed"]),
        ({"kind": "weather", "why": "rain"}, ["n1 is on strike (weather): rain"]),
        ({"kind": 7}, ["n1 is on strike (7)"]),
        ("odd", []),
    ],
)
def test_a_strike_is_said_in_words(strike: Any, words: list[str]) -> None:
    said = remarks({"node": "n1", "strike": strike})
    assert len(said) == len(words)
    for line, beginning in zip(said, words, strict=True):
        assert line.startswith(beginning)


def test_other_peoples_words_obey_no_terminal() -> None:
    [line] = remarks({"node": "n1", "strike": {"kind": "disk", "why": "\x1b[2J"}})
    assert "\x1b" not in line


@pytest.mark.parametrize("members", [None, 7, [], [{"node": "n1"}]])
def test_a_factory_of_one_has_no_table_of_members(members: Any) -> None:
    assert member_rows([{"members": members}]) == []
    assert member_rows([]) == []


def test_members_of_a_newer_node_are_shown_as_far_as_they_are_known() -> None:
    rows = member_rows([{"term": "x", "members": [{"node": "n1", "voter": 3}, 5, {}]}])
    assert rows[1:] == [["n1", "-", "-", "-", "-", "-"], ["-", "-", "-", "-", "-", "-"]]


LINES = {
    "name": "tally",
    "version": 1,
    "digest": "00112233445566778899",
    "ledger": {"name": "tally", "version": 2, "digest": "ffeeddcc"},
}


def test_a_line_that_is_behind_is_said_in_row_and_words() -> None:
    status = {"node": "n2", "line": LINES, "line_behind": True}
    assert "tally 1 behind" in node_rows([("a:1", status)])[1]
    [line] = remarks(status)
    assert line.startswith(
        "n2 runs the line tally 1 (00112233), the ledger names tally 2 (ffeeddcc) (line_behind): "
    )


def test_another_line_is_said_too() -> None:
    status = {"node": "n2", "line": LINES, "line_behind": False, "line_mismatch": True}
    assert "tally 1 mismatch" in node_rows([("a:1", status)])[1]
    assert "line_mismatch" in remarks(status)[0]


@pytest.mark.parametrize("line", [None, 7, {}, {"name": "tally", "ledger": 7}])
def test_an_odd_line_is_no_failure(line: Any) -> None:
    for key in ("line_behind", "line_mismatch"):
        assert len(remarks({"line": line, key: True})) == (type(line) is dict)
        assert len(node_rows([("a:1", {"line": line, key: True})])) == 2


def test_the_reigns_own_line_needs_no_words() -> None:
    status = {"line": {**LINES, "ledger": LINES}, "line_behind": False, "line_mismatch": False}
    assert remarks(status) == []
    assert "tally 1" in node_rows([("a:1", status)])[1]
