"""Bare cores in a storm: the laws hold after every step, and everything heals afterwards.

A seed is the whole story: `Storm(17)` is the same run every time.
"""

from hashlib import sha256

import pytest

from tests.core.raft.storm import Storm

SEEDS = range(60)
SEEDS_LONG = range(1000, 5000)


def weather(seeds: range, ms: float) -> dict[str, int]:
    """Run these seeds; return how much happened in them."""
    found: dict[str, int] = {}
    for seed in seeds:
        storm = Storm(seed)
        try:
            storm.start()
            storm.storm(ms)
            storm.clear()
        except Exception as exc:
            exc.add_note(f"this was Storm({seed}), {ms} ms")
            raise
        for fact, number in storm.facts.items():
            found[fact] = found.get(fact, 0) + number
        found["committed"] = found.get("committed", 0) + storm.laws.commit
        found["terms"] = found.get("terms", 0) + len(storm.laws.leaders)
    return found


@pytest.mark.slow
def test_the_laws_hold_in_every_storm_and_it_heals() -> None:
    found = weather(SEEDS, 2500)
    # A run in which nothing happened proves nothing.
    assert found["committed"] > 100 * len(SEEDS)
    assert found["terms"] > 2 * len(SEEDS)
    assert found["reads"] > 10 * len(SEEDS)
    assert found["crashes"] > len(SEEDS)
    assert found["changes"] > len(SEEDS)
    assert found["repairs"] > len(SEEDS) // 10


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_laws_hold_in_thousands_of_storms() -> None:
    weather(SEEDS_LONG, 6000)


@pytest.mark.slow
def test_a_seed_is_the_same_story_every_time() -> None:
    def story(seed: int) -> str:
        storm = Storm(seed)
        storm.start()
        storm.storm(1500)
        known = sorted(storm.laws.chains.items()), storm.laws.leaders, storm.laws.votes
        return sha256(repr((known, storm.now_ns, storm.picture())).encode()).hexdigest()

    assert story(7) == story(7)
    assert story(7) != story(8)
