"""Parcels of tests carry a time of harvest."""

import pytest

from rmf.client.client_values import Parcel
from rmf.errors import UsageError
from rmf.testing.drifting_clock import WALL_NS
from rmf.testing.parcels import dated


def test_only_a_parcel_that_says_no_time_gets_that_of_the_wall() -> None:
    assert dated(("a", 1, 5), 7) == Parcel("a", 1, 5, WALL_NS + 7)
    assert dated(Parcel("a", 1, 5, 3, 2), 7) == Parcel("a", 1, 5, 3, 2)


def test_what_is_no_parcel_is_refused() -> None:
    with pytest.raises(UsageError, match="found 2"):
        dated(("a", 1), 7)
