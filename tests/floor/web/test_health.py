"""Live, ready, leader: which facts lead to which status and words."""

import pytest

from rmf import limits
from rmf.floor.web import health
from tests.floor.http_kit import facts_of_a_king

KING = facts_of_a_king()
FOLLOWER = facts_of_a_king(role="follower", leader="n2")
NO_REIGN = {"kind": "no_reign", "why": "no reigning Arbiter is known"}
LOST = facts_of_a_king(role="candidate", leader=None, strike=NO_REIGN)
DISK = facts_of_a_king(strike={"kind": "disk", "why": "fsync failed"})
HUNG_S = limits.LIVE_S_MAX + 0.1


def test_a_node_whose_arbiter_turns_is_live() -> None:
    assert health.live(KING, limits.LIVE_S_MAX) == (200, "live\n")


def test_a_striking_node_is_live_and_says_why() -> None:
    assert health.live(DISK, 0) == (200, "live, on strike: disk: fsync failed\n")


def test_a_node_whose_arbiter_hangs_is_not_live() -> None:
    status, text = health.live(KING, HUNG_S)
    assert (status, "has not moved for 5.1 s" in text) == (503, True)


def test_a_node_that_reads_its_ledger_is_live_however_long_it_takes() -> None:
    assert health.live(None, 1000 * HUNG_S).status == 200


def test_who_follows_a_king_is_as_ready_as_he_is() -> None:
    assert health.ready(KING, 0) == (200, "ready\n")
    assert health.ready(FOLLOWER, 0) == (200, "ready\n")


def test_what_is_missing_is_said_one_reason_per_line() -> None:
    status, text = health.ready(LOST, 0)
    assert status == 503
    assert text.splitlines() == [
        "[-]no_strike failed: no_reign: no reigning Arbiter is known",
        "[-]leader_known failed: no reigning Arbiter is known",
        "not ready",
    ]
    assert "[-]ledger_read failed" in health.ready(None, 0).text
    assert "[-]arbiter failed" in health.ready(KING, HUNG_S).text
    assert "[-]no_strike failed: disk: fsync failed" in health.ready(DISK, 0).text


def test_verbose_shows_every_check() -> None:
    assert health.ready(KING, 0, verbose=True).text.splitlines() == [
        "[+]ledger_read ok",
        "[+]arbiter ok",
        "[+]no_strike ok",
        "[+]leader_known ok",
        "ready",
    ]


def test_a_check_can_be_excluded_and_an_unknown_one_is_named() -> None:
    status, text = health.ready(DISK, 0, verbose=True, exclude={"no_strike", "nothing"})
    assert status == 200
    assert "[ ]no_strike excluded" in text
    assert "[?]nothing: there is no such check; there are ledger_read, arbiter" in text


@pytest.mark.parametrize(
    ("facts", "status", "words"),
    [
        (KING, 200, "n1 reigns in term 3"),
        (FOLLOWER, 503, "the leader of term 3 is n2"),
        (LOST, 503, "no leader is known"),
        (DISK, 503, "does not reign"),
        (None, 503, "the ledger is being read"),
    ],
)
def test_only_who_reigns_is_the_leader(
    facts: dict[str, object] | None, status: int, words: str
) -> None:
    verdict = health.leader(facts)
    assert (verdict.status, words in verdict.text) == (status, True)
