"""A client's end of one connection, without I/O: bytes in, messages out, and back (R41).

It decides what a node may say: its preface first, then frames up to the server's bound, then only
messages that a node sends, WELCOME once. It knows the wire (core) and nothing of sockets, clocks
or loops, so that a trio client and a blocking one share it, and so may any other:

    connection = Connection({"producer": "probe-3"})
    write(connection.opening())
    while True:
        for message in connection.receive(read()):
            ...

What breaks the protocol raises ProtocolFault; the connection is of no use afterwards. Messages that
came before the fault in the same read are lost with it: an unread ACK costs nothing, because a
resend is answered from the producers' table (R33).
"""

from typing import Any

from rmf import limits
from rmf.core import faults
from rmf.core import messages as m
from rmf.core.codec import OPENING, PREFACE, FrameBuffer, decode, encode
from rmf.errors import BadPreface, ProtocolFault, Refused, UsageError

__all__ = ["ClientSession", "announced", "refused_by", "same_cluster"]

# What people point a client at by mistake, by how it begins to speak.
_STRANGERS = (
    (b"HTTP/", "an HTTP server"),
    (b"\x15\x03", "a TLS server"),
    (b"SSH-", "an SSH server"),
    (b"INFO {", "a NATS server"),
    (b"-ERR", "a Redis server"),
    (b"220 ", "a mail or FTP server"),
)


class ClientSession:
    """One connection, from its opening on. `hello_options` are those of HELLO; the range of
    versions is added, and an agent where none is named. `welcome` is None until it came."""

    def __init__(self, hello_options: dict[str, Any]) -> None:
        versions = [m.VERSION_MIN, m.VERSION_MAX]
        self._hello = m.Hello({"versions": versions, "agent": "rmf-python", **hello_options})
        self._frames = FrameBuffer(limits.SERVER_FRAME_BYTES_MAX, OPENING)
        self.welcome: m.Welcome | None = None

    def opening(self) -> bytes:
        """Return what a client writes first: the preface and HELLO."""
        return PREFACE + self.encode(self._hello)

    def encode(self, message: m.Message) -> bytes:
        """Return the frame of a message. Raises UsageError if the node would not take its size."""
        frame = encode(message)
        frame_bytes_max = self.limit("frame_bytes", limits.FRAME_BYTES_MAX)
        if len(frame) - 4 > frame_bytes_max:
            raise UsageError(
                f"a {m.name_of(type(message))} of {len(frame) - 4} bytes: the node takes"
                f" frames of at most {frame_bytes_max} bytes; send less at once"
            )
        return frame

    def receive(self, data: bytes) -> list[m.Message]:
        """Take in what a read brought and return the messages that are complete, oldest first.

        Raises ProtocolFault. The end of the stream is the caller's to notice.
        """
        self._frames.feed(data)
        try:
            # Nodes of release 0.1 fill a page of small cells by its bytes, not by its items.
            messages = [decode(frame, items_max=len(frame)) for frame in self._frames.frames()]
        except BadPreface as fault:
            raise ProtocolFault(*_stranger(fault.began)) from None
        for message in messages:
            self._check(message)
        return messages

    def limit(self, name: str, default: int) -> int:
        """Return a limit that WELCOME announced, or `default` while there is none."""
        return default if self.welcome is None else announced(self.welcome, name, default)

    def _check(self, message: m.Message) -> None:
        if not isinstance(message, m.FROM_NODE):
            name = m.name_of(type(message))
            raise ProtocolFault("unknown_type", f"{name} is a client's message, a node sent it")
        if not isinstance(message, m.Welcome):
            return
        if self.welcome is not None:
            raise ProtocolFault("hello_repeated", "the node sent WELCOME twice")
        version = message.facts.get("version")
        if type(version) is not int or not m.VERSION_MIN <= version <= m.VERSION_MAX:
            raise ProtocolFault(
                "wrong_version",
                f"the node chose version {version!r}, this client speaks {m.VERSION_MIN}"
                f" to {m.VERSION_MAX}: update the older of the two",
            )
        self.welcome = message


def announced(welcome: m.Welcome, name: str, default: int) -> int:
    """Return a limit by its name, or `default` where WELCOME announces none that can be."""
    limits_map = welcome.facts.get("limits")
    value = limits_map.get(name) if type(limits_map) is dict else None
    return value if type(value) is int and value > 0 else default


def same_cluster(hello_options: dict[str, Any], welcome: m.Welcome) -> dict[str, Any]:
    """Return the options for the next HELLO: seqs and ticks mean nothing in another cluster. A node
    that belongs to none yet names none."""
    cluster = welcome.facts.get("cluster")
    named = type(cluster) is bytes and bool(cluster)
    return {**hello_options, "cluster": cluster} if named else hello_options


def _stranger(start: bytes) -> tuple[str, str]:
    """Return code and text for a first word that is not RMF's preface."""
    if start[:3] == PREFACE[:3]:
        return (
            "wrong_version",
            f"the node frames by version {start[3]}, this client by {PREFACE[3]}: update the older",
        )
    for begin, name in _STRANGERS:
        if start.startswith(begin):
            return "bad_preface", f"{name} answered, not RMF: check host and port"
    found, expected = start[:8].hex(" "), PREFACE.hex(" ")
    return (
        "bad_preface",
        f"found {found}, expected {expected}: this is no RMF node, check host and port",
    )


def refused_by(message: m.Error | m.Refuse | m.Goaway) -> Refused:
    """Return the exception for a refusal; `retry` is what the error table says of its code."""
    return Refused(message.code, message.text, retry=faults.retry_allowed(message.code))
