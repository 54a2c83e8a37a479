"""CBOR of our own: one and the same, whichever way it is made."""

from typing import Any

import cbor2
from hypothesis import given
from hypothesis import strategies as st

from rmf.core import own_cbor
from tests import strategies as own

RATHER_ODD = st.sampled_from([{1: 2}, (1, (2, None)), float("inf"), 2**70, -(2**64)])


@given(own.values | RATHER_ODD | st.lists(own.values | RATHER_ODD, max_size=3))
def test_it_is_what_cbor2_says_and_comes_back(value: Any) -> None:
    data = own_cbor.encoded(value)
    assert data == cbor2.dumps(value)
    assert own_cbor.decoded(data) == cbor2.loads(data)
