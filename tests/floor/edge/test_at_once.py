"""Sending at once: what a socket has room for, and what a broken or closed one raises."""

import socket
import struct

import pytest
import trio
import trio.testing

from rmf.floor.edge.at_once import send_at_once
from tests.floor.edge.one_connection import streams


async def test_what_there_is_room_for_is_written_in_this_turn() -> None:
    stream, other = streams()
    with other:
        async with stream:
            with trio.testing.assert_no_checkpoints():
                assert send_at_once(stream, b"abc") == b""
            assert other.recv(10) == b"abc"


async def test_the_rest_is_given_back() -> None:
    stream, other = streams()
    data = bytes(range(256)) * 10_000
    with other:
        async with stream:
            rest = send_at_once(stream, data)
            assert 0 < len(rest) < len(data)
            assert bytes(send_at_once(stream, b"more")) == b"more"
            taken = b""
            while len(taken) + len(rest) < len(data):
                taken += other.recv(65536)
            assert taken + bytes(rest) == data


async def test_a_connection_that_is_broken_or_closed_says_so() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    with socket.create_connection(listener.socket.getsockname()) as other:
        stream = await listener.accept()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    async with listener, stream:
        with pytest.raises(trio.BrokenResourceError):
            send_at_once(stream, b"a")
    with pytest.raises(trio.ClosedResourceError):
        send_at_once(stream, b"a")


async def test_a_stream_that_is_no_socket_takes_nothing_at_once() -> None:
    here, _ = trio.testing.memory_stream_pair()
    assert send_at_once(here, b"abc") == b"abc"
