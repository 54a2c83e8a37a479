"""The manuals that `rmf help TOPIC` prints: one text file a topic, beside this module.

The first line of a file says what it is about, for the list of topics; commands in it are indented
by four spaces and can be pasted, and the tests hold each of them to the parsers of the commands.
"""

from importlib.resources import files

from rmf.config_file import nearest
from rmf.errors import UsageError

__all__ = ["about", "text_of", "topics"]

_SUFFIX = ".txt"


def topics() -> list[str]:
    """Return the names of all topics, sorted."""
    names = (entry.name for entry in files(__name__).iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))


def text_of(topic: str) -> str:
    """Return the manual of a topic. Raises UsageError, which names the topics, for any other."""
    known = topics()
    if topic not in known:
        raise UsageError(f"help: unknown topic {topic!r}{nearest(topic, known)}")
    return files(__name__).joinpath(topic + _SUFFIX).read_text(encoding="utf-8")


def about(topic: str) -> str:
    """Return what a topic is about, in a line. Raises UsageError as `text_of`."""
    return text_of(topic).partition("\n")[0]
