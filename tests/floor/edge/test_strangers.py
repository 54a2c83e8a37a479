"""Strangers: counted, and the last of them kept."""

from rmf import limits
from rmf.floor.edge.strangers import Strangers


def test_strangers_are_counted_and_only_the_last_are_kept() -> None:
    strangers = Strangers()
    for i in range(limits.STRANGERS_RING + 5):
        strangers.note(f"peer {i}", "bad_preface", b"x" * 1000)
    assert strangers.counts == {"bad_preface": limits.STRANGERS_RING + 5}
    assert len(strangers.last) == limits.STRANGERS_RING
    assert strangers.last[0] == ("peer 5", "bad_preface", b"x" * 64)
