"""The settings of a node: what there is, where each value came from, what is refused and why.

Precedence, for each setting by itself: flag > `RMF_*` environment > `--config FILE` (TOML) >
default. The origin of each value is kept and shown, so that it is clear which one won.
Nothing is passed over in silence: an unknown key, a value of the wrong type, and a setting that
this version cannot honour are errors that name the key, what was found, what was expected and the
origin; all of them are reported at once.

The page knows text, the environment it is handed and one TOML file; it opens no socket, makes no
directory and loads no line. One table, SETTINGS, feeds the flags, the environment, the file, the
help and `rmf config show`. A key is written `ingest_depth` in the file (`ingest-depth` is taken
too), `--ingest-depth` as a flag, `RMF_INGEST_DEPTH` in the environment.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import attrs

from rmf import config_file, config_values, limits, notation
from rmf.config_file import Found
from rmf.errors import ConfigError

__all__ = ["CONFIG_KEY", "SETTINGS", "Config", "Setting", "as_written", "load"]

CONFIG_KEY = "config"  # the file itself: a flag or an environment variable, never in the file
_NEEDS_TLS = (
    "any other needs TLS, which is not available in this version, or --insecure, which lets"
    " any client that reaches it send and read, in clear text"
)
_NOT_OURS = frozenset({"RMF_CONNECT", "RMF_PURE"})  # read by the tools, and by rmf.native
_OWN = "this node's own address in peers"  # an origin of `peer_listen`
# Where a node listens -> what any client that reaches it may do, beyond loopback and without TLS.
_LISTENS = {
    "listen": "read and send, under any producer's name, in clear text",
    "http": "read this node's health and metrics, in clear text",
    "peer_listen": "pass for one of the peers, and read and change everything, in clear text",
}


class Setting(NamedTuple):
    """One setting: `parse` turns text into the value or raises ValueError ("expected …").

    `kinds` are the TOML types it takes; `default` is text as a user would write it, None where the
    default follows from something else; `metavar` None marks a switch.
    """

    key: str
    metavar: str | None
    default: str | None
    parse: Callable[[str], Any]
    kinds: tuple[type, ...]
    help: str


@attrs.frozen(kw_only=True)
class Config:
    """The resolved settings of one node. Addresses are (host, port), host without brackets."""

    node: str
    data: Path  # absolute; not created here
    restore: Path | None  # a backup that an empty data directory is made of
    moved: bool  # the data directory was moved here while its node was stopped
    listen: notation.Address  # port 0: the system chooses
    http: notation.Address | None  # None: off; port 0: the system chooses
    peer_listen: notation.Address  # nothing listens there while there are no peers
    peers: tuple[tuple[str, notation.Address], ...]  # as written; this node is one of them, if any
    line: str | None  # FILE.py:NAME or package.module:NAME; None: the built-in `board`
    glovebox: Literal["process", "inline"]
    handler_time_ns: int  # what one packet may take, in a glove box process
    handler_memory_bytes: int  # what a glove box process may take over the loaded line
    audit: float  # share of the Ticks that this node runs again when another one executed them
    advertise: notation.Address | None  # for clients; None: where it listens
    tick_period_ns: int
    ingest_depth: int  # packets
    log_format: Literal["auto", "text", "json"]
    demo: bool
    insecure: bool
    origins: Mapping[str, str]  # setting -> where its value came from
    notices: tuple[str, ...]  # what the user should know though nothing is wrong


def load(flags: Mapping[str, str | None], environment: Mapping[str, str]) -> Config:
    """Return the configuration of these flags (key -> text, None: not given) and environment.

    Switches are given as "on" or "off". Raises ConfigError with one line for each fault.
    """
    found, faults = _gather(flags, environment)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for setting in SETTINGS:
        entry = found.get(setting.key, Found(setting.default, "default"))
        origins[setting.key] = entry.origin
        try:
            values[setting.key] = None if entry.value is None else setting.parse(entry.value)
        except ValueError as exc:
            faults.append(_fault(setting.key, entry, str(exc)))
    if origins["peer_listen"] == "default" and (own := _own_address(values)) is not None:
        values["peer_listen"] = own
        origins["peer_listen"] = f"{_OWN} ({origins['peers']})"
        found["peer_listen"] = Found(notation.address_text(own), origins["peer_listen"])
    faults += [_fault(key, found[key], text) for key, text in _not_available(values)]
    if faults:
        raise ConfigError("\n".join(faults))
    notices = tuple(_notices(values, origins))
    values["data"] = _absolute(values["data"], values["node"], environment)
    values["tick_period_ns"] = values.pop("tick")
    values["handler_time_ns"] = values.pop("handler_time")
    values["handler_memory_bytes"] = values.pop("handler_memory")
    return Config(**values, origins=origins, notices=notices)


def as_written(config: Config) -> dict[str, str | int | float | bool | None]:
    """Return each setting's value as a user would write it, None where there is none."""
    values: dict[str, Any] = {
        "data": str(config.data),
        "restore": None if config.restore is None else str(config.restore),
        "line": config.line or "board",
        "peers": ",".join(f"{n}={notation.address_text(a)}" for n, a in config.peers),
        "tick": notation.duration_text(config.tick_period_ns),
        "handler_time": notation.duration_text(config.handler_time_ns),
        "handler_memory": notation.size_text(config.handler_memory_bytes),
        "http": "off" if config.http is None else notation.address_text(config.http),
    }
    for key in ("listen", "peer_listen", "advertise"):
        address = getattr(config, key)
        values[key] = None if address is None else notation.address_text(address)
    rest = (setting.key for setting in SETTINGS if setting.key not in values)
    values |= {key: getattr(config, key) for key in rest}
    return {setting.key: values[setting.key] for setting in SETTINGS}


def _gather(
    flags: Mapping[str, str | None], environment: Mapping[str, str]
) -> tuple[dict[str, Found], list[str]]:
    """Return what was found for each key, the strongest origin's word, and the faults."""
    kinds = {setting.key: setting.kinds for setting in SETTINGS}
    variables = {f"RMF_{key.upper()}": key for key in [*kinds, CONFIG_KEY]}
    faults = []
    surroundings: dict[str, Found] = {}
    for variable in sorted(name for name in environment if name.startswith("RMF_")):
        if variable in variables:
            origin = f"environment {variable}"
            surroundings[variables[variable]] = Found(environment[variable], origin)
        elif variable not in _NOT_OURS:
            nearest = config_file.nearest(variable, variables)
            faults.append(f"{variable}: unknown setting (environment){nearest}")
    given = {
        key: Found(text, f"flag --{key.replace('_', '-')}")
        for key, text in flags.items()
        if text is not None
    }
    strong = surroundings | given
    weak: dict[str, Found] = {}
    file = strong.pop(CONFIG_KEY, None)
    if file is not None:
        weak, file_faults = config_file.read(file, kinds)
        faults += file_faults
    return weak | strong, faults


def _fault(key: str, found: Found, expected: str) -> str:
    return f"{key}: found {found.value!r} ({found.origin}), expected {expected}"


def _absolute(data: Path | None, node: str, environment: Mapping[str, str]) -> Path:
    """Return the data directory: as set, else below the user's XDG state directory."""
    if data is not None:
        return Path.cwd() / data
    state = environment.get("XDG_STATE_HOME", "")
    if Path(state).is_absolute():  # the XDG rules: anything else counts as not set
        return Path(state, "rmf", node)
    home = environment.get("HOME", "")
    if not Path(home).is_absolute():
        raise ConfigError("data: no default, as neither XDG_STATE_HOME nor HOME is set; set --data")
    return Path(home, ".local", "state", "rmf", node)


def _own_address(values: dict[str, Any]) -> notation.Address | None:
    """Return where `peers` say that this node is reached by the others."""
    return dict(values.get("peers", ())).get(values.get("node"))


def _not_available(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (key, "expected …") for what is well written and yet cannot be had."""
    refusals = []
    node = values.get("node")
    if node is not None and values.get("peers") and _own_address(values) is None:
        text = (
            f"this node, {node!r}, among them: add {node}=HOST:PORT, where the others reach it,"
            " or say with --node which of them it is"
        )
        refusals.append(("peers", text))
    if not values.get("insecure"):
        bare = [key for key in _LISTENS if not _is_private(values.get(key))]
        refusals.extend((key, f"a loopback address: {_NEEDS_TLS}") for key in bare)
        others = [address for name, address in values.get("peers", ()) if name != node]
        if not all(map(_is_private, others)):
            refusals.append(("peers", f"loopback addresses: {_NEEDS_TLS}"))
    return refusals


def _is_private(address: notation.Address | None) -> bool:
    return address is None or notation.is_loopback(address[0])


def _notices(values: dict[str, Any], origins: dict[str, str]) -> list[str]:
    """Return what a user should know about settings that are well and yet surprise."""
    alone = not any(name != values["node"] for name, _ in values["peers"])
    idle = {"peer_listen"} if alone else set()
    notices = [
        f"insecure: any client that reaches {notation.address_text(values[key])} can {power}"
        for key, power in _LISTENS.items()
        if key not in idle and not _is_private(values[key])
    ]
    if alone and not origins["peer_listen"].startswith(("default", _OWN)):
        notices.append("peer_listen: nothing listens there while there are no other nodes")
    if values["audit"] and alone:
        notices.append("audit: nothing is audited while there are no other nodes")
    return notices


_LISTEN, _TEXT, _BOOL = notation.parse_listen_address, (str,), (bool,)

SETTINGS = (
    Setting("node", "NAME", "n1", notation.parse_name, _TEXT, "this node's name"),
    Setting("data", "DIR", None, config_values.data, _TEXT, "its data directory"),
    Setting("listen", "HOST:PORT", "127.0.0.1:7410", _LISTEN, _TEXT, "where clients connect"),
    Setting(
        "http", "HOST:PORT|off", "127.0.0.1:7480", config_values.http, _TEXT, "health and metrics"
    ),
    Setting("peer_listen", "HOST:PORT", "127.0.0.1:7510", _LISTEN, _TEXT, "where peers connect"),
    Setting(
        "peers",
        "N=HOST:PORT,...",
        "",
        notation.parse_peers,
        _TEXT,
        "the nodes of a cluster, this one among them, with their --peer-listen",
    ),
    Setting(
        "restore",
        "FILE",
        None,
        config_values.data,
        _TEXT,
        "a backup to begin with, where the data directory is empty: it makes a new cluster",
    ),
    Setting(
        "moved",
        None,
        "off",
        notation.parse_switch,
        _BOOL,
        "its directory was copied here while it was stopped, and nothing newer of it exists",
    ),
    Setting(
        "line",
        "WHERE:NAME",
        "board",
        config_values.line,
        _TEXT,
        "FILE.py:NAME or package.module:NAME",
    ),
    Setting(
        "glovebox",
        "KIND",
        "process",
        config_values.one_of("process", "inline"),
        _TEXT,
        "where the line runs: process, or inline for tests and tiny machines",
    ),
    Setting(
        "handler_time",
        "DURATION",
        notation.duration_text(limits.HANDLER_NS),
        config_values.handler_time,
        _TEXT,
        "what one packet may take; beyond, it is bagged (process only)",
    ),
    Setting(
        "handler_memory",
        "SIZE",
        notation.size_text(limits.BOX_MEMORY_BYTES),
        config_values.handler_memory,
        _TEXT,
        "what the line may take over what it takes when it is loaded (process only)",
    ),
    Setting(
        "audit",
        "SHARE",
        "off",
        notation.parse_share,
        (str, float, int, bool),
        "on, off or 0.1: the share of Ticks that followers run again and compare",
    ),
    Setting(
        "advertise", "HOST:PORT", None, notation.parse_address, _TEXT, "address told to clients"
    ),
    Setting(
        "tick",
        "DURATION",
        notation.duration_text(limits.TICK_PERIOD_NS),
        config_values.tick,
        _TEXT,
        "shortest time between ticks; fixed when the data directory is made",
    ),
    Setting(
        "ingest_depth",
        "PACKETS",
        str(limits.INGEST_DEPTH_PACKETS),
        config_values.depth,
        (int,),
        "what the ingest queue holds; full, producers wait",
    ),
    Setting(
        "log_format",
        "KIND",
        "auto",
        config_values.one_of("auto", "text", "json"),
        _TEXT,
        "auto, text or json",
    ),
    Setting("demo", None, "off", notation.parse_switch, _BOOL, "send this computer's telemetry"),
    Setting("insecure", None, "off", notation.parse_switch, _BOOL, "listen beyond loopback, bare"),
)
