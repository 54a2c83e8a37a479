"""The nursery that users never see."""

import pytest
import trio

from rmf.client.nursery import open_hidden_nursery


async def test_one_exception_comes_out_as_it_is() -> None:
    mine = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with open_hidden_nursery():
            raise mine
    assert caught.value is mine


async def test_the_same_exception_of_several_tasks_comes_out_once() -> None:
    mine = KeyError("mine")

    async def fail() -> None:
        raise mine

    async def fail_twice() -> None:
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(fail)
            nursery.start_soon(fail)

    with pytest.raises(KeyError) as caught:
        await fail_twice()
    assert caught.value is mine


async def test_different_exceptions_stay_together() -> None:
    async def fail() -> None:
        raise KeyError("theirs")

    with pytest.RaisesGroup(KeyError, ValueError):
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(fail)
            raise ValueError("mine")


async def test_cancelling_from_outside_is_no_exception() -> None:
    with trio.CancelScope() as scope:
        async with open_hidden_nursery():
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
