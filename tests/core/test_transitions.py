"""The table of states: whole, free of contradictions, and one with the error table."""

import json
from pathlib import Path

import pytest

from rmf.core import messages as m
from rmf.core.faults import FAULTS
from rmf.core.transitions import (
    CLOSED,
    HELLO,
    JOINING,
    OPEN,
    PREFACE,
    REFUSED,
    STATES,
    TRANSITIONS,
    next_state,
)

PUBLISHED = json.loads(
    (Path(__file__).parent.parent.parent / "protocol" / "states.json").read_text("utf-8")
)


def rows_of(state: str, kind: type[m.Message]) -> list[dict[str, object]]:
    return [x for x in PUBLISHED if (x["state"], x["event"]) == (state, m.name_of(kind))]


def test_every_message_is_from_the_client_or_from_the_node() -> None:
    assert set(m.FROM_CLIENT) | set(m.FROM_NODE) == set(m.CODES.values())
    assert not set(m.FROM_CLIENT) & set(m.FROM_NODE)


@pytest.mark.parametrize("state", [HELLO, JOINING, OPEN])
@pytest.mark.parametrize("kind", m.CODES.values(), ids=m.name_of)
def test_the_table_says_what_becomes_of_each_message_in_each_state(
    state: str, kind: type[m.Message]
) -> None:
    rows = rows_of(state, kind)
    assert rows
    assert len({x["case"] for x in rows}) == len(rows)


@pytest.mark.parametrize("state", [PREFACE, CLOSED])
def test_no_message_comes_before_the_preface_or_after_the_end(state: str) -> None:
    assert not REFUSED[state]
    assert not [x for kind in m.CODES.values() for x in rows_of(state, kind)]


def test_what_closes_by_the_error_table_closes_and_before_welcome_every_error_does() -> None:
    answers = [x for x in TRANSITIONS if x.answer.startswith("ERROR `")]
    assert len(answers) > 20
    for row in answers:
        shakes_hands = set(row.states) <= {PREFACE, HELLO}
        for code in row.codes:
            assert (row.next == CLOSED) == (shakes_hands or FAULTS[code].closes), row


def test_every_state_but_the_first_is_reached_and_every_one_ends() -> None:
    assert {x.next for x in TRANSITIONS} - {None} == set(STATES[1:])
    for state in STATES[:-1]:
        assert next_state(state, "end of stream") == CLOSED
    assert not [x for x in TRANSITIONS if CLOSED in x.states]


@pytest.mark.parametrize("state", STATES)
def test_what_is_refused_always_is_refused_by_one_row(state: str) -> None:
    for kind, code in REFUSED[state].items():
        (row,) = rows_of(state, kind)
        assert row["codes"] == [code]


def test_what_is_not_in_the_table_leads_nowhere() -> None:
    with pytest.raises(KeyError):
        next_state(CLOSED, "HELLO")
