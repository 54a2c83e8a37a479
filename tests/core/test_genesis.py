"""Who makes a cluster, who joins one, and who waits; and that there are never two."""

import itertools

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmf.core.entry import Member
from rmf.core.genesis import decide
from rmf.core.raft.greetings import GENESIS, Own, Welcome, hello_of, welcome_of

X, Y = b"x" * 16, b"y" * 16
NAMES = ("n1", "n2", "n3")
ALL = {
    name: Own(
        name,
        name.encode() * 8,
        peer_address=f"{name}:7510",
        client_address=f"{name}:7410",
        listed=NAMES,
    )
    for name in NAMES
}
MEMBERS = tuple(Member(name, name.encode() * 8, f"{name}:7510", f"{name}:7410") for name in NAMES)


def answer(asked: Own, asking: Own) -> Welcome:
    return welcome_of(asked, hello_of(asking, asked.node, None, GENESIS))


def round_of(own: Own, others: dict[str, Own | None]) -> dict[str, Welcome | None]:
    return {
        name: None if other is None else answer(other, own)
        for name, other in others.items()
        if name != own.node
    }


def step(name: str, **changed: Own | None) -> str:
    others = {**ALL, **changed}
    return decide(ALL[name], round_of(ALL[name], others)).do


def founded(name: str, members: tuple[Member, ...] = MEMBERS, cluster: bytes = X) -> Own:
    return attrs.evolve(ALL[name], cluster=cluster, members=members)


def test_the_lowest_name_founds_once_all_have_answered_empty() -> None:
    found = decide(ALL["n1"], round_of(ALL["n1"], dict(ALL)))
    assert (found.do, found.members) == ("found", MEMBERS)
    assert step("n2") == "wait"
    assert step("n3") == "wait"


def test_a_node_alone_founds_at_once() -> None:
    alone = decide(ALL["n2"], {})
    assert (alone.do, alone.members) == ("found", (MEMBERS[1],))


def test_one_peer_without_an_answer_is_waited_for() -> None:
    waiting = decide(ALL["n1"], round_of(ALL["n1"], {**ALL, "n3": None}))
    assert waiting.do == "wait"
    assert waiting.why == "no answer yet from n3"


def test_lists_that_differ_are_waited_for_and_shown() -> None:
    for listed in ((), ("n1", "n2"), (*NAMES, "n4")):
        other = attrs.evolve(ALL["n3"], listed=listed)
        waiting = decide(ALL["n1"], round_of(ALL["n1"], {**ALL, "n3": other}))
        assert waiting.do == "wait"
        assert waiting.why.startswith("n3 lists")
    reordered = attrs.evolve(ALL["n3"], listed=tuple(reversed(NAMES)))
    assert step("n1", n3=reordered) == "found"


def test_copies_of_one_data_directory_found_nothing() -> None:
    assert step("n1", n3=attrs.evolve(ALL["n3"], incarnation=ALL["n2"].incarnation)) == "wait"


def test_a_member_of_a_founded_cluster_adopts_it_whichever_other_is_silent() -> None:
    adopting = decide(ALL["n2"], round_of(ALL["n2"], {"n1": founded("n1"), "n3": None}))
    assert (adopting.do, adopting.cluster) == ("adopt", X)
    # One that adopted it knows no members yet, and is no contradiction.
    assert step("n2", n1=founded("n1"), n3=founded("n3", ())) == "adopt"


def test_a_wiped_or_new_node_waits_for_an_operator() -> None:
    wiped = attrs.evolve(ALL["n1"], incarnation=Y)
    others: dict[str, Own | None] = {"n2": founded("n2"), "n3": founded("n3")}
    waiting = decide(wiped, round_of(wiped, others))
    assert waiting.do == "wait_for_admin"
    assert Y.hex() in waiting.why
    assert waiting.why.endswith("rmf-admin add n1 n1:7510")
    assert decide(wiped, round_of(wiped, {"n2": founded("n2"), "n3": None})).do == "wait_for_admin"


def test_a_node_that_no_peer_can_call_asks_for_its_address_to_be_filled_in() -> None:
    unreachable = attrs.evolve(ALL["n1"], incarnation=Y, peer_address="")
    waiting = decide(unreachable, round_of(unreachable, {"n2": founded("n2")}))
    assert waiting.why.endswith("rmf-admin add n1 HOST:PORT")


def test_peers_of_two_clusters_are_for_an_operator_to_part() -> None:
    assert step("n1", n2=founded("n2"), n3=founded("n3", cluster=Y)) == "wait_for_admin"


@given(st.data())
def test_there_are_never_two_founders(data: st.DataObject) -> None:
    """Whatever is asked in whatever order, with nodes that stop, start, crash and are wiped: every
    cluster but one is empty of members that others belong to."""
    owns: dict[str, Own] = dict(ALL)
    up = dict.fromkeys(NAMES, True)
    clusters = (bytes([number]) * 16 for number in itertools.count(1))
    incarnations = (bytes([number]) * 16 for number in itertools.count(100))
    made: list[str] = []
    for _ in range(data.draw(st.integers(1, 25))):
        name = data.draw(st.sampled_from(NAMES))
        what = data.draw(st.sampled_from(["step"] * 6 + ["toggle", "wipe"]))
        own = owns[name]
        if what == "toggle":
            up[name] = not up[name]
        elif what == "wipe" and own.cluster is None:
            owns[name] = attrs.evolve(ALL[name], incarnation=next(incarnations))
        elif what == "step" and own.cluster is None and up[name]:
            seen = {x: owns[x] if up[x] else None for x in NAMES}
            todo = decide(own, round_of(own, seen))
            if todo.do == "found":
                made.append(name)
                owns[name] = attrs.evolve(own, cluster=next(clusters), members=todo.members)
            elif todo.do == "adopt":
                owns[name] = attrs.evolve(own, cluster=todo.cluster)
    assert len(made) <= 1
    assert set(made) <= {"n1"}
    assert len({own.cluster for own in owns.values()} - {None}) <= 1


@pytest.mark.parametrize("order", list(itertools.permutations(NAMES)))
def test_three_nodes_come_together_in_any_order(order: tuple[str, ...]) -> None:
    owns = dict(ALL)
    for name in [*order, *order, *order]:
        own = owns[name]
        todo = decide(own, round_of(own, dict(owns)))
        if own.cluster is None and todo.do in {"found", "adopt"}:
            owns[name] = attrs.evolve(own, cluster=todo.cluster or X, members=todo.members)
    assert {own.cluster for own in owns.values()} == {X}
