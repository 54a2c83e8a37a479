"""Which ways between nodes a trouble closes."""

from rmf.testing.ways import apart, around

NODES = ["n1", "n2", "n3"]


def test_around_a_node_are_all_ways_to_it_and_from_it() -> None:
    ways = {("n1", "n2"), ("n1", "n3"), ("n2", "n1"), ("n3", "n1")}
    assert around("n1", NODES) == ways
    assert around("n4", []) == set()


def test_apart_are_those_who_share_no_group() -> None:
    assert apart(NODES, NODES) == set()
    assert apart(NODES, ["n2", "n3"]) == around("n1", NODES)
    assert apart(NODES, ["n1", "n2"], ["n2", "n3"]) == {("n1", "n3"), ("n3", "n1")}


def test_who_is_in_no_group_is_alone() -> None:
    assert len(apart(NODES)) == 6
