"""A simulated day of a follower: what comes and goes leaves nothing behind (R45)."""

from tools.bench_day import day


def test_what_the_core_holds_is_what_lives() -> None:
    found = day(hours=0.02, keys_per_s=20, ttl_s=10)
    assert found["cells"] == found["keys_in_index"] == 200
    assert found["shelf_entries"] <= 2 * found["cells"]
    assert len(found["rss_mib_by_hour"]) == 1
