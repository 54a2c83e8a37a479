"""The configuration file: TOML in, what was found for each key out, with its origin.

It decides which faults a file can have and how they are reported (file, line, nearest key); what
a value means is `rmf.config`'s matter. It reads one file that the user named, whole and bounded,
and knows nothing else. tomllib is imported only when there is a file.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rmf import limits
from rmf.errors import ConfigError

__all__ = ["Found", "nearest", "read"]

_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


class Found(NamedTuple):
    """A value as text, None where nothing was said, and the origin to show."""

    value: str | None
    origin: str


def read(file: Found, kinds: Mapping[str, tuple[type, ...]]) -> tuple[dict[str, Found], list[str]]:
    """Return the values of a file by key, as text, and its faults.

    `kinds` are the known keys with the TOML types each takes. Raises ConfigError if the file
    cannot be read or is not TOML.
    """
    assert file.value is not None
    origin = f"file {file.value}"
    found: dict[str, Found] = {}
    faults = []
    for written, value in _table(Path(file.value), file.origin).items():
        key = written.replace("-", "_")
        if key not in kinds:
            faults.append(f"{written}: unknown setting ({origin}){nearest(key, kinds)}")
        elif key in found:
            faults.append(f"{key}: set twice ({origin}), with a dash and with an underscore")
        elif type(value) not in kinds[key]:
            expected = " or ".join(_KINDS[kind] for kind in kinds[key])
            faults.append(f"{key}: found {value!r} ({origin}), expected {expected}")
        else:
            found[key] = Found(_text(value), origin)
    return found, faults


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" for the known name nearest to this one, or all known names."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are {', '.join(names)}"


def _table(path: Path, origin: str) -> dict[str, Any]:
    """Return what the file says. Raises ConfigError with the place of what is wrong."""
    import tomllib  # noqa: PLC0415

    try:
        with path.open("rb") as file:
            data = file.read(limits.CONFIG_FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise ConfigError(f"config: cannot read {str(path)!r} ({origin}): {why}") from exc
    if len(data) > limits.CONFIG_FILE_BYTES_MAX:
        raise ConfigError(
            f"config: {path} is longer than {limits.CONFIG_FILE_BYTES_MAX} bytes ({origin})"
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ConfigError(f"config: {path}, line {line}: not UTF-8 ({origin})") from exc
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"config: {path}, {_place(str(exc), text)} ({origin})") from exc
    except RecursionError as exc:
        raise ConfigError(f"config: {path}: nested too deeply to be TOML ({origin})") from exc


def _place(message: str, text: str) -> str:
    """Turn tomllib's "What (at line 3, column 7)" into "line 3, column 7: What"."""
    found = _PLACE.search(message)
    what = message if found is None else message[: found.start()]
    if found is None or found[1] is None:
        return f"line {len(text.splitlines())}, the end of the file: {what}"
    return f"line {found[1]}, column {found[2]}: {what}"


def _text(value: object) -> str:
    """Return a TOML value as a user would write it after a flag."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
