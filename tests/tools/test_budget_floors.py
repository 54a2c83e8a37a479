"""Each stage has a floor."""

from tools.budget_floors import FLOORS
from tools.budget_stages import STAGES


def test_each_stage_has_a_floor_and_a_compiled_piece_makes_none_higher() -> None:
    assert list(FLOORS) == [stage for stage in STAGES if stage in FLOORS]
    assert set(FLOORS) == set(STAGES)
    assert all(0 <= floor.compiled <= floor.python for floor in FLOORS.values())
