"""How settings are written: durations, addresses, switches, names; text in, values out.

Each parser takes what a user wrote and returns the value, or raises ValueError with what it
expected, as a phrase that reads well after "expected". The caller adds what was found and
where. Pure functions over text; nothing of RMF is known here but its limits.

Durations are whole nanoseconds, computed without floats, so that `0.1ms` is exactly `100us`.
A bare number is refused: it would be seconds to one reader and milliseconds to another.
"""

import re

from rmf import limits

__all__ = [
    "Address",
    "address_text",
    "duration_text",
    "is_loopback",
    "parse_address",
    "parse_count",
    "parse_duration_ns",
    "parse_listen_address",
    "parse_name",
    "parse_peers",
    "parse_share",
    "parse_switch",
]

Address = tuple[str, int]

_UNITS_NS = {
    "h": 3600 * limits.SECOND,
    "m": 60 * limits.SECOND,
    "s": limits.SECOND,
    "ms": limits.MS,
    "us": 1000,
    "ns": 1,
}
_DURATION = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,9}))?(h|ms|m|s|us|ns)")
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{limits.NODE_NAME_BYTES_MAX - 1}}}")
_HOST = re.compile(r"[A-Za-z0-9._-]+")
_V6 = re.compile(r"\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?)\]")
_PORT = re.compile(r"[0-9]{1,5}")
_SIZES = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}  # the largest first
_SWITCH = {"on": True, "true": True, "yes": True, "1": True} | {
    "off": False,
    "false": False,
    "no": False,
    "0": False,
}


def parse_duration_ns(text: str) -> int:
    """Return the nanoseconds in `250ms`, `1.5s`, `2h` or `100us`. Raises ValueError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError("a duration with its unit, as 100us, 250ms, 5s or 2h")
    whole, fraction, unit = found[1], found[2] or "", found[3]
    parts: int = 10 ** len(fraction)
    value_ns, rest = divmod(int(whole + fraction) * _UNITS_NS[unit], parts)
    if rest:
        raise ValueError("a duration of whole nanoseconds")
    return value_ns


def duration_text(value_ns: int) -> str:
    """Return a duration in the largest unit that says it in whole numbers."""
    unit = next(u for u, size_ns in _UNITS_NS.items() if value_ns % size_ns == 0)
    return f"{value_ns // _UNITS_NS[unit]}{unit}"


def parse_size(text: str) -> int:
    """Return a number of bytes: `512MiB`, `64KiB`, `1GiB` or a plain number."""
    found = re.fullmatch(r"([0-9]{1,12})(KiB|MiB|GiB|B)?", text.strip())
    if found is None:
        raise ValueError("a size, as 512MiB")
    return int(found[1]) * _SIZES[found[2] or "B"]


def size_text(size: int) -> str:
    """Return a size in the largest unit that says it in whole numbers."""
    unit = next(u for u, unit_bytes in _SIZES.items() if size % unit_bytes == 0)
    return f"{size // _SIZES[unit]}{unit}"


def parse_listen_address(text: str) -> Address:
    """Return (host, port) of `host:port` or `[v6]:port`; port 0 lets the system choose."""
    host, colon, port = text.strip().rpartition(":")
    if not colon:
        raise ValueError("HOST:PORT, as 127.0.0.1:7410")
    bare = _V6.fullmatch(host)
    if bare is None and ":" in host:
        raise ValueError("an IPv6 address in brackets, as [::1]:7410")
    if bare is None and not _HOST.fullmatch(host):
        raise ValueError("HOST:PORT, as 127.0.0.1:7410 or [::1]:7410")
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError("a port from 0 to 65535 after the last colon")
    return (bare[1] if bare else host), int(port)


def parse_address(text: str) -> Address:
    """Return (host, port) of an address that others connect to: port 0 is refused."""
    host, port = parse_listen_address(text)
    if port == 0:
        raise ValueError("a port from 1 to 65535: others are to connect there")
    return host, port


def address_text(address: Address) -> str:
    """Return an address as `parse_listen_address` reads it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Return True if nothing outside this machine can reach the host; names other than
    `localhost` are not looked up, and count as reachable."""
    if host in {"localhost", "127.0.0.1", "::1"}:
        return True
    # Imported here: the usual start never needs it.
    import ipaddress  # noqa: PLC0415

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_name(text: str) -> str:
    """Return the name of a node: it stands in paths, letter ids and `--peers`."""
    if not _NAME.fullmatch(text):
        raise ValueError(
            f"1 to {limits.NODE_NAME_BYTES_MAX} letters, digits, dots, dashes or underscores,"
            " a letter or digit first"
        )
    return text


def parse_peers(text: str) -> tuple[tuple[str, Address], ...]:
    """Return the (name, address) pairs of `n1=HOST:PORT,n2=HOST:PORT`, as they stand."""
    pairs = []
    for part in filter(None, text.split(",")):
        name, equals, address = part.strip().partition("=")
        if not equals:
            raise ValueError(f"NAME=HOST:PORT for each peer, parted by commas, not {part!r}")
        pairs.append((parse_name(name), parse_address(address)))
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("each peer's name once")
    if len({address for _, address in pairs}) < len(pairs):
        raise ValueError("an address of its own for each peer")
    if len(pairs) > limits.MEMBERS_MAX:
        raise ValueError(f"at most {limits.MEMBERS_MAX} peers")
    return tuple(pairs)


def parse_switch(text: str) -> bool:
    """Return True for on, true, yes and 1; False for off, false, no and 0."""
    try:
        return _SWITCH[text.strip().lower()]
    except KeyError:
        raise ValueError("on or off") from None


def parse_count(text: str) -> int:
    """Return a whole number of at least 1. The range above that is the caller's matter."""
    if not re.fullmatch(r"[0-9]{1,18}", text.strip()) or int(text) < 1:
        raise ValueError("a whole number, 1 or more")
    return int(text)


def parse_share(text: str) -> float:
    """Return a share from 0 to 1: `on` is 1, `off` is 0, else a decimal number."""
    word = text.strip().lower()
    if word in {"on", "off"}:
        return float(word == "on")
    if not re.fullmatch(r"0(\.[0-9]{1,9})?|1(\.0{1,9})?", word):
        raise ValueError("on, off or a share from 0 to 1, as 0.1")
    return float(word)
