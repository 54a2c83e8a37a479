"""What a difference means, and in which surroundings it is looked for."""

from rmf.testing.suspects import CAUSES
from tools.sim_findings import variants
from tools.sim_trials import Surroundings


def test_each_variant_changes_one_thing_and_names_its_cause() -> None:
    base = Surroundings()
    seen = set()
    for variant in variants():
        changed = {
            name
            for name in ("hash_seed", "wall_ns", "zone", "locale", "chance", "ballast")
            if getattr(variant.around, name) != getattr(base, name)
        }
        wanted = {
            "hash": {"hash_seed"},
            "clock": {"wall_ns"},
            "zone": {"zone", "locale"},
            "chance": {"chance"},
            "process": {"ballast"},
            "state": set(),
        }
        assert changed == wanted[variant.cause]
        assert variant.pieces == (variant.cause == "state")
        seen.add(variant.cause)
    assert seen == set(CAUSES)


def test_a_child_sees_the_surroundings_and_nothing_of_the_users_locale() -> None:
    around = Surroundings(hash_seed=7, zone="XYZ-5", locale="C").environment()
    assert (around["PYTHONHASHSEED"], around["TZ"], around["LC_ALL"]) == ("7", "XYZ-5", "C")
    assert "LANG" not in around
