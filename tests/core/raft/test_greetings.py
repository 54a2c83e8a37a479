"""Whom a node lets in: names, data directories, clusters, and who knows the newer members."""

import attrs
import pytest

from rmf.core.entry import Member
from rmf.core.raft.greetings import (
    GENESIS,
    LETTERS,
    RAFT,
    REFUSALS,
    Own,
    hello_of,
    refusal_of,
    welcome_of,
)

X, Y = b"x" * 16, b"y" * 16
MEMBERS = tuple(Member(name, name.encode() * 8) for name in ("n1", "n2", "n3"))
ME = Own("n2", MEMBERS[1].incarnation, X, MEMBERS, membership=5)
PEER = Own("n1", MEMBERS[0].incarnation, X, MEMBERS, membership=5)
HELLO = hello_of(PEER, "n2", ME.incarnation, RAFT)


def code_of(hello: object, own: Own = ME) -> str | None:
    refusal = refusal_of(hello, own)  # type: ignore[arg-type]
    assert refusal is None or (refusal.code in REFUSALS and refusal.text)
    return refusal.code if refusal is not None else None


@pytest.mark.parametrize("purpose", [RAFT, LETTERS])
def test_a_member_is_let_in(purpose: str) -> None:
    assert code_of(HELLO._replace(purpose=purpose)) is None
    assert code_of(HELLO._replace(to_incarnation=None)) is None


def test_a_caller_of_another_version_is_refused() -> None:
    assert code_of(HELLO._replace(versions=(3, 4))) == "wrong_version"
    assert code_of(HELLO._replace(versions=(1, 3))) is None


@pytest.mark.parametrize(("versions", "spoken"), [((1, 1), 1), ((1, 2), 2), ((1, 3), 2)])
def test_a_connection_speaks_the_highest_version_that_both_know(
    versions: tuple[int, int], spoken: int
) -> None:
    """A cluster is upgraded node by node: the older one is understood, and understands."""
    assert welcome_of(ME, HELLO._replace(versions=versions)).version == spoken


def test_a_caller_that_meant_another_node_or_has_the_same_name_is_refused() -> None:
    assert code_of(HELLO._replace(to="n3")) == "wrong_node"
    assert code_of(HELLO._replace(node="n2")) == "wrong_node"


def test_a_caller_that_knows_another_data_directory_here_is_refused() -> None:
    assert code_of(HELLO._replace(to_incarnation=Y)) == "wrong_incarnation"


def test_another_cluster_is_refused_and_so_is_none() -> None:
    assert code_of(HELLO._replace(cluster=Y)) == "wrong_cluster"
    assert code_of(HELLO._replace(cluster=None)) == "wrong_cluster"


def test_a_node_that_belongs_to_no_cluster_says_so() -> None:
    assert code_of(HELLO, attrs.evolve(ME, cluster=None, members=())) == "unfounded"


def test_a_wiped_node_is_refused_under_its_old_name() -> None:
    assert code_of(HELLO._replace(incarnation=Y)) == "wrong_incarnation"
    assert code_of(HELLO._replace(incarnation=Y, membership=0)) == "wrong_incarnation"


def test_a_stranger_and_a_removed_node_are_refused() -> None:
    assert code_of(HELLO._replace(node="n9")) == "not_member"
    assert code_of(HELLO._replace(node="n9", membership=4)) == "not_member"


def test_a_caller_that_knows_newer_members_is_let_in_by_a_node_that_is_behind() -> None:
    assert code_of(HELLO._replace(node="n9", membership=6)) is None
    empty = attrs.evolve(ME, members=(), membership=0)
    assert code_of(HELLO, empty) is None
    assert code_of(HELLO._replace(membership=0), empty) == "not_member"


def test_a_question_about_genesis_is_always_answered() -> None:
    unfounded = Own("n9", Y)
    hello = hello_of(unfounded, "n2", None, GENESIS)
    assert code_of(hello) is None
    assert welcome_of(ME, hello).member is False
    assert welcome_of(ME, hello).cluster == X
    assert welcome_of(ME, HELLO).member is True
    assert welcome_of(ME, HELLO._replace(incarnation=Y)).member is False
