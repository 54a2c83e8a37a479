"""What people decide about letters (R40): what an order may say, and what every node is told."""

from typing import Any

import pytest

from rmf import limits
from rmf.core.bag import Letter
from rmf.core.effects import StoreLetters
from rmf.core.entry import Entry, decode_entry, encode_entry
from rmf.core.entry_kinds import CLUSTER_VERSION
from rmf.core.events import DiskMark
from rmf.core.messages import End
from rmf.core.triage import Act, Triage, seqs_of, triage_of
from rmf.testing.rebirth import come_back
from tests.core.cluster import Cluster
from tests.core.surroundings import row_of

GOOD: list[dict[str, Any]] = [
    {"act": "resolve", "letters": ["3.1841.0", "3.1841.1"]},
    {"act": "reopen", "group": "2-0123456789abcdef"},
    {"act": "purge", "before": 1_764_000_000_000_000_000},
    {"act": "redrive", "letters": ["3.1841.0"], "job": "night"},
    {"act": "skip", "letters": ["3.1841.0"], "job": "night"},
]


@pytest.mark.parametrize("args", GOOD)
def test_an_order_becomes_an_entry_and_comes_back_from_its_bytes(args: dict[str, Any]) -> None:
    triage = triage_of({**args, "why": "mended"}, "alice")
    assert isinstance(triage, Triage)
    assert (triage.act, triage.by, triage.why) == (args["act"], "alice", "mended")
    entry = Entry(7, 8, bytes(16), triage)
    assert decode_entry(encode_entry(entry)) == entry


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"act": "burn"}, "act: expected one of"),
        ({"act": None}, "act: expected one of"),
        ({"why": " "}, "why: an act has a reason"),
        ({"why": 3}, "why: expected text"),
        ({"why": "x" * (limits.TRIAGE_WHY_CHARACTERS_MAX + 1)}, "why: expected text, at most"),
        ({"letters": []}, "one selection"),
        ({"group": "2-x"}, "one selection"),
        ({"letters": ["n1:edge:3"]}, "an edge's"),
        ({"letters": ["3.1.0"] * (limits.TRIAGE_LETTERS_MAX + 1)}, "at most"),
        ({"letters": [], "before": -1}, "before: expected"),
        ({"letters": [], "group": ""}, "group: expected"),
        ({"job": "night"}, "resolve takes no job"),
        ({"act": "redrive"}, "takes the name of a job"),
        ({"act": "redrive", "job": "a\n"}, "printable"),
        ({"act": "redrive", "job": "x" * 250}, "255 bytes"),
        ({"act": "redrive", "job": "a", "letters": ["3.1.0", "3.1.0"]}, "named twice"),
        ({"act": "redrive", "job": "a", "letters": [], "group": "2-x"}, "redrive takes letters"),
        ({"colour": "red"}, "found 'colour'"),
    ],
)
def test_an_order_that_says_too_little_or_too_much_is_named(
    change: dict[str, Any], words: str
) -> None:
    args = {"act": "resolve", "why": "mended", "letters": ["3.1.0"], **change}
    found = triage_of(args, "alice")
    assert isinstance(found, str)
    assert words in found


def test_a_letter_has_its_seq_among_those_that_are_not_skipped() -> None:
    assert seqs_of(["a", "b", "c", "d"], {"b"}) == {"a": 1, "c": 2, "d": 3}


# --- In a factory ---------------------------------------------------------------------------------


def poisoned(play: Cluster) -> Letter:
    play["n1"].join("probe").send_rows([row_of(1, topic="poison")])
    play.advance(50)
    return play["n1"].letters[-1]


def stored_acts(play: Cluster) -> list[list[Act]]:
    return [
        [act for effect in node.seen(StoreLetters) for act in effect.acts]
        for node in play.nodes.values()
    ]


def test_every_node_learns_it_after_the_commit_and_the_operator_too() -> None:
    play = Cluster()
    letter = poisoned(play)
    for name in ("n2", "n3"):
        play[name].disk.hold()
    asking = play["n1"].ask("admin.triage", act="resolve", why="mended", letters=[letter.id])
    assert not any(isinstance(message, End) for message in asking.heard)
    assert stored_acts(play) == [[]] * 3
    play.sync("n2", "n3")
    play.advance(50)
    assert asking.code is None
    found = stored_acts(play)
    assert found == [found[0]] * 3
    (act,) = found[0]
    assert (act.act, act.why, act.letters) == ("resolve", "mended", (letter.id,))
    assert act.entry == asking.item["index"]
    assert letter.tick is not None
    assert act.tick > letter.tick


def test_an_act_changes_nothing_of_the_world_and_a_restart_finds_it_again() -> None:
    play = Cluster()
    letter = poisoned(play)
    before = play["n1"].core.committed.digest()
    play["n1"].ask("admin.triage", act="purge", why="secrets", letters=[letter.id])
    play.advance(50)
    assert play["n1"].core.committed.digest() == before
    (act,) = stored_acts(play)[0]
    play["n1"].join("probe").send(2)  # whose record says that the act was committed
    play.advance(50)
    behind = come_back(play["n1"].disk, "n1", act.entry - 1)
    assert behind.letters_waiting == 1
    assert (behind.take_letters(), behind.take_acts(), behind.take_acts()) == ([], [act], [])
    assert come_back(play["n1"].disk, "n1", act.entry).take_acts() == []


def test_another_node_says_who_leads_and_a_wrong_order_is_refused() -> None:
    play = Cluster()
    assert play["n2"].ask("admin.triage", act="resolve", why="x", group="2-x").code == "not_leader"
    assert play["n1"].ask("admin.triage", act="resolve", group="2-x").code == "wrong_shape"


def test_an_order_waits_for_the_bench() -> None:
    play = Cluster()
    n1 = play["n1"]
    probe = n1.join("probe")
    n1.runner.held = True
    probe.send(1)
    asking = n1.ask("admin.triage", act="resolve", why="x", group="2-x")
    assert asking.code == "waits"
    n1.run()
    play.advance(50)
    assert asking.code is None


def test_no_act_is_written_before_every_member_knows_them_or_where_the_disk_is_full() -> None:
    """R30, R38."""
    play = Cluster(version=2, n3_knows=2)
    n1 = play["n1"]
    assert n1.ask("admin.triage", act="resolve", why="x", group="2-x").code == "not_ready"
    play.n3_knows = CLUSTER_VERSION
    play.restart("n3")
    play.advance(100)
    assert n1.ask("admin.triage", act="resolve", why="x", group="2-x").code in {None, "waits"}
    play.advance(50)
    n1.happen(DiskMark("hard", 0))
    assert n1.ask("admin.triage", act="purge", why="x", group="2-x").code == "busy"


def test_a_reign_that_ends_says_so_to_who_waits() -> None:
    play = Cluster()
    for name in ("n2", "n3"):
        play[name].disk.hold()
    asking = play["n1"].ask("admin.triage", act="resolve", why="x", group="2-x")
    play.cut("n1")
    play.advance(2_000)
    assert asking.code == "not_leader"
