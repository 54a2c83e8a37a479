"""The protocol between nodes: its page, its CDDL and its vectors say what the code says."""

import json
import re
from typing import Any

import pytest

from rmf.core.raft import greetings as g
from rmf.core.raft import peer_messages as m
from rmf.core.raft import wire
from tests.protocol.cddl_check import (
    PEER_CODES,
    PEERS_CDDL,
    assert_peer_conforms,
    peer_faults_of,
    peer_rule_of,
)
from tools.vectors.peers import PEER_LIMITS, judge_peer, version_of

PAGE = PEERS_CDDL.with_name("PEERS.md").read_text("utf-8")
VECTORS: list[dict[str, Any]] = json.loads(
    (PEERS_CDDL.parent / "vectors" / "peers.json").read_text("utf-8")
)
GOOD = [x for x in VECTORS if x["expect"] == "ok"]
BAD = [x for x in VECTORS if x["expect"] != "ok"]


def name_of(kind: type[Any]) -> str:
    return re.sub("(?<!^)([A-Z])", r"_\1", kind.__name__).upper()


def rows_after(heading: str) -> list[list[str]]:
    """Return the cells of the first table behind a piece of text, its head left out."""
    lines = PAGE[PAGE.index(heading) :].splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    table = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


@pytest.mark.parametrize("vector", GOOD, ids=lambda vector: vector["id"])
def test_a_good_vector_decodes_and_conforms_to_the_cddl(vector: dict[str, Any]) -> None:
    frame = bytes.fromhex(vector["hex"])
    assert judge_peer(frame) == "ok"
    assert wire.encode(wire.decode(frame), version_of(vector["id"]))[4:-4] == frame
    assert_peer_conforms(frame)


@pytest.mark.parametrize("vector", BAD, ids=lambda vector: vector["id"])
def test_a_bad_vector_fails_with_exactly_its_code(vector: dict[str, Any]) -> None:
    frame = bytes.fromhex(vector["hex"])
    assert judge_peer(frame) == vector["expect"]
    if vector["expect"] in {"wrong_shape", "unknown_type"}:
        assert peer_faults_of(frame) != ()


@pytest.mark.parametrize("kind", PEER_CODES.values(), ids=lambda kind: kind.__name__)
def test_every_message_has_a_rule_and_a_vector(kind: type[Any]) -> None:
    rule = name_of(kind).lower().replace("_", "-")
    assert f"\n{rule} = " in PEERS_CDDL.read_text("utf-8")
    assert any(peer_rule_of(bytes.fromhex(vector["hex"])) == rule for vector in GOOD)


def test_the_messages_of_consensus_are_those_of_the_code() -> None:
    expected = [
        [f"{code} {name_of(kind)}", ", ".join(kind._fields)] for code, kind in m.CODES.items()
    ]
    assert [row[:2] for row in rows_after("## 3.")] == expected


def test_the_registry_names_every_code() -> None:
    used = {row[0]: row[1] for row in rows_after("## 7.")}
    assert f"0 to {max(m.CODES)}" in used
    named = [name_of(kind) for kind in g.LINK_CODES.values()]
    assert used["100 to 109"] == ", ".join(named)


def test_the_facts_of_the_handshake_are_those_of_the_code() -> None:
    facts = [(re.findall(r"`(\w+)`", row[0]), row[1]) for row in rows_after("| fact | in |")]
    named = {name for names, _ in facts for name in names}
    assert named == {*g.Hello._fields, *g.Welcome._fields}
    for names, where in facts:
        for name in names:
            assert where != "both" or (name in g.Hello._fields and name in g.Welcome._fields)
    assert ", ".join(f"`{x}`" for x in g.PURPOSES[:2]) + f" or `{g.PURPOSES[2]}`" in PAGE


def test_the_refusals_are_those_of_the_code() -> None:
    named = {row[0].strip("`") for row in rows_after("| code | when |")} - {"-"}
    assert named | {"too_many_connections"} == set(g.REFUSALS)


def test_the_limits_are_those_of_the_code() -> None:
    found = [(row[0], int(row[1])) for row in rows_after("<!-- begin generated: peers -->")]
    assert found == [(what, int(value)) for what, value, _ in PEER_LIMITS]


def test_every_requirement_that_a_vector_cites_is_stated_and_numbers_have_no_holes() -> None:
    stated = [int(x) for x in re.findall(r"^- \*\*PEER-(\d+)\*\*", PAGE, re.MULTILINE)]
    assert stated == list(range(1, len(stated) + 1))
    assert {vector["req"] for vector in VECTORS} <= {f"PEER-{number}" for number in stated}


def test_the_preface_is_the_one_that_the_page_shows() -> None:
    assert f"`{wire.PREFACE.hex(' ')}`" in PAGE


def test_every_entry_has_a_name_of_its_own() -> None:
    assert len({x["id"] for x in VECTORS}) == len(VECTORS)
    assert all(x["description"] for x in VECTORS)
