"""Lines compared, and what follows: who yields, who is preferred, what is run again (R21)."""

from itertools import pairwise

import pytest

from rmf.core import events as ev
from rmf.core.effects import Note, Publish, RunAgain
from rmf.core.entry import Accession, LineId, TickBooks
from rmf.core.line_versions import compare_lines, is_sampled, line_text, nodes_with_older_line
from rmf.line import Line
from tests.core.cluster import Cluster
from tests.core.cluster_node import Node
from tests.core.kit import Playbook
from tests.core.surroundings import shop

OLD = LineId("shop", 7, b"old")


def newer() -> Line:
    line = shop()
    line.version = 8
    return line


def other_source() -> Line:
    line = shop()
    line.on("more/#")(lambda _world, _packet: None)
    return line


def roll(play: Cluster, name: str, line: Line) -> Node:
    """Restart a node with another line."""
    play.lines[name] = line
    node = play.restart(name)
    play.advance(1_000)
    return node


def reign_of(play: Cluster) -> Node:
    (node,) = play.reigning()
    return node


def rolled(*names: str, leader: str) -> Cluster:
    """A cluster in which these nodes run the newer line, and one of them reigns."""
    play = Cluster()
    for name in names:
        roll(play, name, newer())
    reigning = reign_of(play)
    if reigning.name != leader:
        reigning.ask("admin.transfer", node=leader)
    play.crown(leader)
    play.advance(500)
    return play


def line_of_reign(node: Node) -> LineId:
    found = [x.books.line for _, x in node.disk.entries if isinstance(x.books, Accession)]
    return found[-1]


# --- Compared -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ledger", "expected"),
    [
        (LineId("", 0, b""), "same"),
        (OLD, "same"),
        (OLD._replace(version=8), "behind"),
        (OLD._replace(version=6, digest=b"older"), "ahead"),
        (OLD._replace(digest=b"another"), "other"),
        (OLD._replace(name="store", version=9), "other"),
    ],
)
def test_a_line_is_compared_by_name_version_and_source(ledger: LineId, expected: str) -> None:
    assert compare_lines(OLD, ledger) == expected


def test_laggards_are_those_who_said_that_they_run_an_older_line() -> None:
    def met(line: LineId | None) -> ev.PeerMet:
        return ev.PeerMet("n", b"", "", 2, line)

    lines = {"a": OLD, "b": OLD._replace(version=8), "c": None, "d": LineId("store", 1, b"")}
    assert nodes_with_older_line(
        {n: met(x) for n, x in lines.items()}, OLD._replace(version=8)
    ) == {"a"}


def test_two_sources_of_one_version_read_differently() -> None:
    assert line_text(OLD) == "shop 7 (6f6c64)"
    assert line_text(OLD) != line_text(OLD._replace(digest=b"new"))


@pytest.mark.parametrize("share", [0, 1, 100_000, 333_333, 1_000_000])
def test_a_sample_is_spread_evenly(share: int) -> None:
    taken = [index for index in range(1, 1_000_001) if is_sampled(index, share)]
    assert len(taken) == share
    steps = {b - a for a, b in pairwise(taken)}
    assert not steps or max(steps) - min(steps) <= 1


# --- Who yields -----------------------------------------------------------------------------------


def test_whose_line_is_older_lets_the_others_reign() -> None:
    """n2 would be the first to stand up: its dice and its name are the lowest of those left."""
    play = rolled("n1", "n3", leader="n1")
    play.kill("n1")
    play["n2"].happen(ev.PeerLost("n1"))
    play["n3"].happen(ev.PeerLost("n1"))
    play.crown("n3")
    play.advance(2_000)
    assert reign_of(play).name == "n3"
    assert line_of_reign(play["n2"]).version == 8


def test_without_a_hint_of_the_loss_it_waits_all_the_same() -> None:
    play = rolled("n1", "n3", leader="n1")
    play.kill("n1")
    play.crown("n3")


def test_it_reigns_where_no_other_can() -> None:
    play = rolled("n3", leader="n3")
    play.kill("n3")
    play.crown("n1", within_ms=1_000)
    play.advance(100)
    assert line_of_reign(play["n2"]).version == 7
    assert not play["n2"].status["line_behind"]


def test_it_reigns_where_the_others_lack_an_entry() -> None:
    """Only n2's log holds all that may be committed: the newer line is no better right."""
    play = rolled("n1", "n3", leader="n1")
    probe = play["n1"].join("probe")
    play["n3"].disk.hold()
    probe.send(1)
    assert probe.told == {1: "applied"}
    play.kill("n1")
    play.kill("n3")
    play.start("n3")
    play.crown("n2")
    assert play["n2"].core.committed.producers.rows["probe"].last_seq == 1


def test_a_patient_node_still_notices_in_time_that_no_node_reigns() -> None:
    """R36: a display must not take it for live while it waits."""
    play = rolled("n3", leader="n3")
    play.cut("n1")
    play.advance(410)
    assert play["n1"].core.raft.role == "follower"
    assert not play["n1"].live


def test_a_node_that_starts_behind_knows_it() -> None:
    play = rolled("n1", "n3", leader="n1")
    node = play.restart("n2")
    play.advance(100)
    assert node.core.raft.voting.yields
    assert [x.event for x in node.seen(Note) if x.event == "line_behind"] == ["line_behind"]


def test_a_node_alone_needs_no_words_about_its_line() -> None:
    """It reigns itself in a moment, and the ledger names its line from then on."""
    play = Playbook()
    play.line = other_source()
    again = play.restart()
    assert not [x for x in again.seen(Note) if x.event.startswith("line")]
    assert again.core.committed.line.digest == play.line.digest
    assert not again.status["line_mismatch"]


# --- Who is preferred -----------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False])
def test_a_reign_is_handed_to_no_older_line_unless_it_is_named(*, named: bool) -> None:
    play = rolled("n1", "n2", leader="n1")  # by name, n3 would be chosen
    play["n1"].ask("admin.transfer", **({"node": "n3"} if named else {}))
    play.crown("n3" if named else "n2")


def test_a_stop_hands_over_to_the_newer_line() -> None:
    play = rolled("n1", "n2", leader="n1")
    play["n1"].happen(ev.StopAsked())
    play.crown("n2")


def test_where_all_others_are_older_one_of_them_takes_over() -> None:
    play = rolled("n1", leader="n1")
    play["n1"].happen(ev.StopAsked())
    play.advance(100)
    assert reign_of(play).name in {"n2", "n3"}


# --- What is said ---------------------------------------------------------------------------------


def test_a_roll_out_is_seen_in_the_status_of_each_node() -> None:
    play = rolled("n3", leader="n1")
    ahead = play["n3"].status
    assert (ahead["line"]["version"], ahead["line"]["ledger"]["version"]) == (8, 7)
    assert not ahead["line_behind"]
    play["n1"].ask("admin.transfer", node="n3")
    play.crown("n3")
    play.advance(200)
    found = play["n1"].status
    assert found["line_behind"]
    assert not found["line_mismatch"]
    assert (found["line"]["version"], found["line"]["ledger"]["version"]) == (7, 8)
    (note,) = [x for x in play["n1"].seen(Note) if x.event == "line_behind"]
    assert note.fields["line"].startswith("shop 7 (")
    assert note.fields["ledger"].startswith("shop 8 (")
    assert not play["n3"].status["line_behind"]


def test_another_source_under_the_same_version_is_said_and_does_not_yield() -> None:
    play = Cluster()
    node = roll(play, "n3", other_source())
    assert node.status["line_mismatch"]
    assert not node.status["line_behind"]
    assert not node.core.raft.voting.yields
    assert [x.event for x in node.seen(Note) if x.event.startswith("line")] == ["line_mismatch"]


# --- What is run again ----------------------------------------------------------------------------


def audits(node: Node) -> list[RunAgain]:
    return [x for x in node.effects if isinstance(x, RunAgain)]


def audited(share_ppm: int = 1_000_000) -> Cluster:
    play = Cluster()
    play.audit_ppm = share_ppm
    for name in ("n1", "n2", "n3"):
        play.restart(name)
        play.advance(1_000)
    if not play["n1"].core.reigns:
        reign_of(play).ask("admin.transfer", node="n1")
    play.crown("n1")
    play.advance(200)
    return play


def test_followers_run_again_what_the_leader_executed() -> None:
    play = audited()
    play["n1"].join("probe").send(1, 2)
    play.advance(100)
    assert audits(play["n1"]) == []
    for name in ("n2", "n3"):
        found = audits(play[name])[-1]
        assert found.books.frames[0].packets == 2
        assert found.before.index == found.index - 1
        assert found.term == play["n1"].core.raft.term


def test_only_a_sample_is_run_again() -> None:
    play = audited(100_000)
    probe = play["n1"].join("probe")
    before = len(audits(play["n2"]))
    for seq in range(1, 41):
        probe.send(seq)
    play.advance(100)
    assert len(audits(play["n2"])) - before == 4


def test_nothing_is_run_again_with_another_line() -> None:
    play = audited()
    for name, line in (("n2", newer()), ("n3", other_source())):
        play.lines[name] = line
        play.restart(name)
        play.advance(1_000)
    if not play["n1"].core.reigns:
        reign_of(play).ask("admin.transfer", node="n1")
        play.crown("n1")
        play.advance(100)
    before = {name: len(audits(play[name])) for name in ("n2", "n3")}
    play["n1"].join("probe").send(1)
    play.advance(100)
    assert {name: len(audits(play[name])) for name in ("n2", "n3")} == before


def test_the_keys_that_an_audit_may_look_for_stay_until_it_is_done() -> None:
    play = audited()
    probe = play["n1"].join("probe")
    probe.send(1, topic="keep/a")
    play.advance(50)
    probe.send(2, topic="remove", payload=["keep/a"])
    play.advance(50)
    node = play["n2"]
    index = node.core.committed.world.index
    assert "keep/a" in index
    for audit in audits(node):
        audit.before.world.index.unpin(audit.pin)
    assert "keep/a" not in index


def test_what_this_node_wrote_itself_is_no_sample_while_it_reigns() -> None:
    play = audited()
    play["n1"].join("probe").send(1)
    assert [x for x in play["n1"].effects if isinstance(x, RunAgain)] == []
    assert play["n1"].seen(Publish)
    ticks = [x for _, x in play["n1"].disk.entries if isinstance(x.books, TickBooks)]
    assert ticks
