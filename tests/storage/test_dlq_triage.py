"""storage/dlq_triage: what people decided about letters, whichever way it reaches a store (R40)."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import apsw
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rmf.core.bag import Evidence, Letter, Read
from rmf.core.triage import Act, Triage
from rmf.errors import StorageError
from rmf.storage.dlq_schema import DLQ_FILE
from rmf.storage.dlq_store import DlqStore
from tests.storage.dlq_letters import CLUSTER, NODE, TRACEBACK, edge_letter, letter, opened, reading
from tests.storage.dlq_version_1 import make_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / DLQ_FILE


def act(kind: str, tick: int, *letters: str, **more: Any) -> Act:
    """An act of the Entry whose index is its tick."""
    fields: dict[str, Any] = {"group": None, "before": None, "job": None, **more}
    return Act(tick, tick, 1000 + tick, kind, "alice", "mended", letters, **fields)


def states(path: Path) -> dict[str, str]:
    with reading(path) as reader:
        return {stored.letter.id: stored.triage for stored in reader.letters()}


def groups(path: Path) -> dict[str, tuple[int, int, str]]:
    with reading(path) as reader:
        return {x.reason: (x.letters, x.open, x.state) for x in reader.groups()}


def test_letters_are_resolved_and_opened_again(path: Path) -> None:
    with opened(path) as store:
        store.put_line([letter(1), letter(2), letter(3)], 3)
        store.put_line([], 4, [act("resolve", 4, "3.1.0", "3.2.0", "3.9.0")])
        assert states(path) == {"3.1.0": "resolved", "3.2.0": "resolved", "3.3.0": "open"}
        assert groups(path) == {"handler_error": (3, 1, "open")}
        store.put_line([], 5, [act("reopen", 5, "3.2.0")])
        assert states(path) == {"3.1.0": "resolved", "3.2.0": "open", "3.3.0": "open"}
        assert store.cursor == 5


def test_a_resolved_group_opens_again_when_it_comes_back_and_says_so_once(path: Path) -> None:
    """R40: archived groups must not swallow new failures."""
    group = letter(1).group
    with opened(path) as store:
        store.put_line([letter(1), letter(2)], 2)
        store.put_line([], 3, [act("resolve", 3, group=group)])
        assert groups(path) == {"handler_error": (2, 0, "resolved")}
        assert store.take_reopened() == []
        store.put_line([letter(4)], 4)
        store.put_line([letter(5)], 5)
        assert groups(path) == {"handler_error": (4, 2, "reopened")}
        assert store.take_reopened() == [group]
        assert store.take_reopened() == []
        store.put_line([], 6, [act("reopen", 6, "3.1.0")])
        assert groups(path) == {"handler_error": (4, 3, "open")}


def test_what_comes_in_one_batch_with_an_act_is_met_only_if_it_is_older(path: Path) -> None:
    with opened(path) as store:
        store.put_line([letter(1), letter(4)], 4, [act("resolve", 3, group=letter(1).group)])
        assert states(path) == {"3.1.0": "resolved", "3.4.0": "open"}
        assert groups(path) == {"handler_error": (2, 1, "reopened")}


def test_what_was_purged_is_gone_with_its_traceback_and_stays_away(path: Path) -> None:
    other = Evidence("KeyError", "k", TRACEBACK.replace("too hot", "k"))
    with opened(path) as store:
        store.put_line([letter(1), letter(2), letter(3, error=other)], 3)
        purge = act("purge", 4, "3.1.0", "3.2.0")
        store.put_line([], 4, [purge])
        assert states(path) == {"3.3.0": "open"}
        assert store.stats().letters == store.stats().groups == 1
        store.put_line([letter(1)], 4, [purge])  # a restart feeds the ledger again, or a peer does
        assert states(path) == {"3.3.0": "open"}
        assert store.stats().letters == 1
    db = apsw.Connection(str(path))
    assert db.execute("SELECT count(*) FROM tracebacks").get == 1
    assert db.execute("SELECT count(*), matched FROM acts").get == (1, 2)


def test_an_act_that_comes_again_is_not_done_again(path: Path) -> None:
    """After a crash the ledger is fed again, and a younger act may have been there already."""
    resolve, reopen = act("resolve", 5, "3.1.0"), act("reopen", 6, "3.1.0")
    with opened(path) as store:
        store.put_line([letter(1)], 1)
        store.put_line([], 6, [resolve, reopen])
        store.put_line([], 6, [resolve])
        store.put_acts([resolve])
        assert states(path) == {"3.1.0": "open"}
        assert groups(path) == {"handler_error": (1, 1, "open")}
    with reading(path) as reader:
        assert len(reader.acts()) == 2


def test_a_purge_may_name_a_time(path: Path) -> None:
    with opened(path) as store:
        store.put_line([letter(n, bagged_at=100 * n) for n in (1, 2, 3)], 3)
        store.put_edge([edge_letter("n1:edge:1", bagged_at=50)])
        store.put_line([], 4, [act("purge", 4, before=300)])
        assert states(path) == {"3.3.0": "open", "n1:edge:1": "open"}


def test_acts_from_a_peer_are_done_in_the_order_of_their_entries(path: Path) -> None:
    """After an install the older acts come last, and must not undo the younger ones."""
    with opened(path) as store:
        store.put_line([letter(1), letter(2)], 2)
        store.put_line([letter(20)], 20, [act("reopen", 21, "3.1.0")])
        store.put_acts([act("resolve", 10, group=letter(1).group), act("purge", 11, "3.2.0")])
        store.put_line([letter(2), letter(3)], 0)
        assert states(path) == {"3.1.0": "open", "3.20.0": "open", "3.3.0": "resolved"}


def test_letters_of_the_edge_are_met_by_this_node_alone(path: Path) -> None:
    mine, others = "n1:edge:1", "n1:edge:2"
    decided = Triage("resolve", "alice", "seen", [mine, "3.1.0"], None, None, None)
    with opened(path) as store:
        store.put_line([letter(1)], 1)
        store.put_edge([edge_letter(mine), edge_letter(others)])
        store.put_line([], 2, [act("resolve", 2, others)])
        assert store.act_on_edge(decided, 77) == 1
        assert states(path) == {mine: "resolved", others: "open", "3.1.0": "open"}
    with reading(path) as reader:
        assert [(x.act.entry, x.act.at, x.matched) for x in reader.acts()] == [
            (2, 1002, 0),
            (0, 77, 1),
        ]


def test_the_audit_trail_can_be_asked_for(path: Path) -> None:
    group = letter(1).group
    with opened(path) as store:
        store.put_line([letter(1)], 1)
        store.put_line(
            [], 2, [act("redrive", 2, "3.1.0", job="a"), act("skip", 3, "3.1.0", job="a")]
        )
        store.put_line([], 4, [act("resolve", 4, group=group), act("purge", 5, "3.9.0")])
    with reading(path) as reader:
        asked = [
            reader.acts(),
            reader.acts(letter="3.1.0"),
            reader.acts(job="a"),
            reader.acts(entry=5),
            reader.acts(after=2, limit=1),
        ]
        assert reader.acts(job="a")[0].act.letters == ("3.1.0",)
    entries = [[x.act.entry for x in found] for found in asked]
    assert entries == [[2, 3, 4, 5], [2, 3, 4], [2, 3], [5], [4]]


def test_reads_are_kept(path: Path) -> None:
    reads = (Read("average/3", 3, 1840, 1), Read("Übersicht", 0, 0, 0))
    with opened(path) as store:
        store.put_line([letter(1, error=Evidence("ValueError", "x", "", reads))], 1)
    with reading(path) as reader:
        (stored,) = reader.letters()
    assert stored.letter.error.reads == reads


def test_a_file_of_version_1_is_brought_up_to_date_in_place(path: Path) -> None:
    make_file(path)
    with pytest.raises(StorageError, match="start the node once"), reading(path):
        pass
    with opened(path) as store:
        assert (store.cursor, store.next_edge_number) == (7, 5)
        assert groups(path) == {"handler_error": (2, 2, "open")}
        store.put_line([letter(8)], 8, [act("resolve", 9, group="1-old")])
    assert states(path) == {"3.1.0": "resolved", "3.2.0": "resolved", "3.8.0": "open"}
    with opened(path) as store:  # and a second time nothing is left to do
        assert store.cursor == 8


# --- Beside a model -------------------------------------------------------------------------------

TICKS = st.integers(1, 12)
KINDS = ("resolve", "reopen", "purge", "redriven", "redrive", "skip")


def of_group(number: int) -> str:
    return ("handler_error", "result_invalid")[number % 2]


class Model(RuleBasedStateMachine):
    """Letters and acts reach a store in any order, again and again; in the end each letter is what
    all acts that are younger made of it, in the order of their ticks."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.path = Path(self.directory.name) / DLQ_FILE
        self.store = DlqStore.open(self.path, cluster=CLUSTER, node=NODE)
        self.letters: dict[str, Letter] = {}
        self.acts: dict[int, Act] = {}

    @initialize(kinds=st.lists(st.sampled_from(KINDS), min_size=12, max_size=12), data=st.data())
    def decide(self, kinds: list[str], data: st.DataObject) -> None:
        self.possible = {}
        for tick, kind in enumerate(kinds, start=1):
            ids = data.draw(st.lists(TICKS, unique=True))
            names = [f"3.{number}.0" for number in ids]
            group = letter(1, reason=of_group(tick)).group
            whole = kind in KINDS[:3] and not names
            self.possible[tick] = act(kind, tick, *names, group=group if whole else None)

    @rule(tick=TICKS)
    def a_letter_comes(self, tick: int) -> None:
        one = letter(tick, reason=of_group(tick))
        self.letters[one.id] = one
        self.store.put_line([one], 0)

    @rule(tick=TICKS)
    def the_newest_act_comes(self, tick: int) -> None:
        if tick > max(self.acts, default=0):
            self.acts[tick] = self.possible[tick]
            self.store.put_line([], tick, [self.possible[tick]])

    @rule(ticks=st.lists(TICKS, max_size=3))
    def acts_come_from_a_peer(self, ticks: list[int]) -> None:
        mine = [self.possible[tick] for tick in sorted(ticks)]
        self.acts |= {x.tick: x for x in mine}
        self.store.put_acts(mine)

    @rule()
    def the_node_starts_again(self) -> None:
        self.store.close()
        self.store = DlqStore.open(self.path, cluster=CLUSTER, node=NODE)

    def become(self, one: Letter) -> str | None:
        assert one.tick is not None
        state: str | None = "open"
        for tick in sorted(self.acts):
            a = self.acts[tick]
            if tick <= one.tick or (one.id not in a.letters and one.group != a.group):
                continue
            if a.act == "purge":
                return None
            known = {"resolve": "resolved", "reopen": "open", "redriven": "redriven"}
            state = known.get(a.act, state)
        return state

    @invariant()
    def each_letter_is_what_its_acts_made_of_it(self) -> None:
        expected = {
            name: state
            for name, one in self.letters.items()
            if (state := self.become(one)) is not None
        }
        assert states(self.path) == expected
        counts: dict[str, list[str]] = {}
        for name, state in expected.items():
            counts.setdefault(self.letters[name].reason, []).append(state)
        found = {reason: (n, are_open) for reason, (n, are_open, _) in groups(self.path).items()}
        assert found == {r: (len(x), x.count("open")) for r, x in counts.items()}

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
