"""Streams: what a client sends as one run of bytes, and where the reads may cut it.

`follow` is the reader of reference: the preface, then frames, at most 4 KiB before HELLO. It must
find the same frames however the bytes are cut, and stop at the same fault.
"""

from collections.abc import Iterable
from typing import Any

from rmf import limits
from rmf.core import messages as m
from rmf.core.codec import OPENING, PREFACE, FrameBuffer, encode
from rmf.errors import ProtocolFault
from tools.vectors.entries import text_of
from tools.vectors.good import packet

__all__ = ["chunks_of", "follow", "stream_entries"]


def follow(chunks: Iterable[bytes]) -> tuple[list[bytes], str]:
    """Return the frames (without lengths) of a client's bytes, and "ok" or the code that ends it.

    Bytes that begin something and do not finish it end in a time-out.
    """
    buffer = FrameBuffer(limits.FRAME_BEFORE_HELLO_BYTES_MAX, OPENING)
    frames: list[bytes] = []
    for chunk in chunks:
        buffer.feed(chunk)
        try:
            for frame in buffer.frames():
                frames.append(frame)
                buffer.frame_bytes_max = limits.FRAME_BYTES_MAX
        except ProtocolFault as fault:
            return frames, fault.code
    if not frames:
        return frames, "handshake_timeout"
    return frames, "frame_timeout" if len(buffer.data) else "ok"


def chunks_of(data: bytes, sizes: list[int]) -> list[bytes]:
    """Return the data cut into chunks of these sizes; the last size repeats."""
    chunks = []
    sizes = list(sizes)
    at = 0
    while at < len(data):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        chunks.append(data[at : at + size])
        at += size
    return chunks


_CUTS = [[1], [2], [3], [4], [5], [7], [64], [4, 4, 1], [100_000]]


def stream_entries() -> list[dict[str, Any]]:
    """Return all streams."""
    hello = encode(m.Hello({"versions": [1, 1], "agent": "example/1.0", "producer": "probe-3"}))
    send = encode(m.Send([packet(1), packet(2)]))
    ping, bye = encode(m.Ping(7)), encode(m.Bye())
    begin = PREFACE + hello
    over = limits.FRAME_BEFORE_HELLO_BYTES_MAX + 1
    limit = limits.FRAME_BYTES_MAX + 1
    cases = [
        ("one-frame", "RMF-2", "Preface and HELLO", begin, ""),
        ("session", "RMF-2", "HELLO, SEND, PING, BYE", begin + send + ping + bye, ""),
        (
            "empty-frame",
            "RMF-2",
            "A frame of no bytes is a frame: it is not well-formed, and the next one counts",
            begin + bytes(4) + ping,
            "",
        ),
        (
            "faulty-frame-between",
            "RMF-7",
            "A frame that is no CBOR does not disturb the frames behind it",
            begin + b"\x00\x00\x00\x03\xff\xff\xff" + ping,
            "",
        ),
        ("cut-in-preface", "RMF-1", "The preface is never finished", PREFACE[:2], ""),
        ("cut-in-hello", "RMF-3", "HELLO is never finished", begin[:-1], ""),
        ("cut-in-length", "RMF-2", "A length is never finished", begin + send[:3], ""),
        ("cut-in-frame", "RMF-2", "A frame is never finished", begin + send[:-1], ""),
        (
            "first-frame-too-long",
            "RMF-2",
            "Before HELLO a frame has at most 4,096 bytes",
            PREFACE + over.to_bytes(4, "big"),
            "Said as soon as the length is there, before anything is buffered.",
        ),
        (
            "frame-too-long",
            "RMF-2",
            "A length of one byte more than announced; the frame before it counts",
            begin + ping + limit.to_bytes(4, "big") + b"\x82",
            "",
        ),
        ("frame-longest-length", "RMF-2", "A length of 2^32-1", begin + b"\xff" * 4, ""),
        ("http", "RMF-1", "An HTTP client", b"GET / HTTP/1.1\r\n\r\n", "The text says HTTP."),
        ("tls", "RMF-1", "A TLS client", bytes.fromhex("160301020001"), "The text says TLS."),
        ("later-framing", "RMF-1", "A preface of another major version", b"RMF\x02", ""),
        ("no-preface", "RMF-1", "HELLO without a preface", hello, ""),
    ]
    return [_entry(*case) for case in cases]


def _entry(name: str, req: str, description: str, data: bytes, notes: str) -> dict[str, Any]:
    frames, expect = follow([data])
    return {
        "id": f"stream-{name}",
        "req": req,
        "description": description,
        "hex": data.hex(),
        "diag": [_diag(frame) for frame in frames],
        "decoded": [frame.hex() for frame in frames],
        "chunks": _CUTS,
        "expect": expect,
        "notes": notes,
    }


def _diag(frame: bytes) -> str | None:
    try:
        return text_of(frame)
    except ProtocolFault:
        return None
