"""The door of depth 1: who is slow hears what is so now, and who sends never waits."""

import trio
import trio.testing

from rmf.floor.latest import Latest, Newest, open_latest


def opened() -> tuple[Latest[str], "trio.MemoryReceiveChannel[str]"]:
    """A door for texts."""
    return open_latest()


async def test_only_the_newest_is_heard() -> None:
    door, out = opened()
    assert door.put("a") is None
    assert door.put("b") == "a", "nobody had heard it"
    assert await out.receive() == "b"
    assert door.put("c") is None


async def test_who_waits_hears_it_at_once() -> None:
    door, out = opened()
    heard: list[str] = []

    async def hear() -> None:
        heard.append(await out.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear)
        await trio.testing.wait_all_tasks_blocked()
        door.put("a")
    assert heard == ["a"]


async def test_what_was_said_can_be_taken_back_until_it_is_heard() -> None:
    door, out = opened()
    door.put("a")
    assert door.take_back() == "a"
    assert door.take_back() is None
    door.put("b")
    assert await out.receive() == "b"
    assert door.take_back() is None


async def test_who_only_looks_remembers_what_was_said_last() -> None:
    door, out = opened()
    newest = Newest(out, "nothing")
    assert newest.look() == "nothing"
    door.put("a")
    door.put("b")
    assert (newest.look(), newest.look()) == ("b", "b")
