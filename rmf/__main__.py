"""`rmf` = `python -m rmf`: the commands of the node itself, `serve` and `config`, and `help`.

It decides what may stand on the command line and which exit code an error gets: 0 done, 2 usage or
configuration, 1 everything else. What a setting means is `rmf.config`'s matter, what a node does is
`rmf.floor`'s. Each command imports what it needs when it is chosen, so that help, a wrong option
and `config` answer before trio would be loaded.
"""

# ruff: noqa: PLC0415 (imports inside functions are what keeps each command quick)

import argparse
import atexit
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from rmf.errors import RmfError, UsageError

if TYPE_CHECKING:
    from rmf.config import Config

__all__ = ["main", "process_main"]

EXIT_DONE, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
_NODE_COMMANDS = ("serve", "config")  # those that take the settings
_READER_GONE = 128 + 13  # as a shell reports SIGPIPE

_EXAMPLES = """\
examples:
  rmf serve                          a durable factory of one node on 127.0.0.1:7410
  rmf serve --demo                   the same, fed with this computer's own telemetry
  rmf serve --line greenhouse.py:line --data /var/lib/greenhouse
  rmf config show                    every setting with the origin of its value
  rmf help                           the manuals: what there is to read
"""
_SERVE_EXAMPLES = """\
examples:
  rmf serve --demo                   see something at once; then: rmf-cat
  rmf serve --line greenhouse.py:line --data ./data
  RMF_LISTEN=127.0.0.1:0 rmf serve --config rmf.toml

A flag wins over RMF_* in the environment, that over the file, that over the default.
In the file a key is written with underscores: ingest_depth = 4096
"""
_CONFIG_EXAMPLES = """\
examples:
  rmf config show                    every setting with the origin of its value
  rmf config show -o json --config rmf.toml
  rmf config check --config rmf.toml && echo well

A flag wins over RMF_* in the environment, that over the file, that over the default.
"""
_HELP_EXAMPLES = """\
examples:
  rmf help                           the topics
  rmf help dlq                       one of them
  rmf help dlq | less
"""


def process_main() -> NoReturn:
    """Be the process of one command: run it, and end with its exit code.

    What is left then is memory, which the system takes back at once; to take a World of a million
    cells apart first took Python 9 s of a node's stop (R18). What else waits for the end of a
    process comes before: exit functions, and what is still to be written. A thread that others
    count on (a line of one's own may have some) is waited for in Python's own way.
    """
    code = main()
    if any(not x.daemon for x in threading.enumerate() if x is not threading.main_thread()):
        sys.exit(code)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # it is closed, or there is none
            stream.flush()
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are lines on stderr."""
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except RmfError as exc:
        for line in str(exc).splitlines():
            _complain(f"error: {line}")
        return EXIT_USAGE if isinstance(exc, UsageError) else EXIT_FAILED
    except BrokenPipeError:
        _drop_stdout()
        return _READER_GONE
    except KeyboardInterrupt:
        _die_of(signal.SIGINT)


def _complain(text: str) -> None:
    """Say it on stderr, if there is one."""
    if sys.stderr is not None:
        sys.stderr.write(f"rmf: {text}\n")


def _drop_stdout() -> None:
    """Python would try to flush stdout once more at exit, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _die_of(number: int, _frame: FrameType | None = None) -> NoReturn:
    """End as a process does that does not know the signal: a shell's loop ends with it. The first
    process of a container is not sent what it does not handle, so that it exits by itself."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def _die_until_it_listens() -> None:
    """From now on, until the node hears signals itself, each ends it at once: without a traceback,
    and in a container, too. It has nothing to lose yet."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _die_of)


def _run(argv: Sequence[str]) -> int:
    parser = _parser()
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        raise UsageError(_unknown_text(unknown[0], options.command))
    if options.command == "serve" and not options.version:
        return _serve(_load(options))
    try:
        code = _answer(options)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        _drop_stdout()
        raise RmfError(f"standard output: {exc.strerror}") from exc
    return code


def _answer(options: argparse.Namespace) -> int:
    """Do what is done once it was said on stdout."""
    if sys.stdout is None:
        raise RmfError("standard output is closed")
    if options.version:
        return _say_version(options.output)
    if options.command is None:
        raise UsageError("no command: expected serve, config or help; rmf --help says more")
    if options.command == "help":
        return _help(options.topic)
    config = _load(options)
    return _show(config, options.output) if options.verb == "show" else _check(config)


def _help(topic: str | None) -> int:
    """Write a manual, the help of a command of the node, or what there is to read."""
    from rmf import manual

    if topic in _NODE_COMMANDS:
        return _run([topic, "--help"])
    if topic is not None:
        return _say(manual.text_of(topic).rstrip("\n"))
    known = manual.topics()
    width = max(map(len, known)) + 2
    _say("rmf help TOPIC prints one of these:\n")
    for name in known:
        _say(f"  {name:<{width}}{manual.about(name)}")
    return _say("\nEvery command has --help with examples.")


def _serve(config: "Config") -> int:
    """Run the node; only now trio and the floor are loaded, and psutil only for a demo. The glove
    box is started before that: it loads the line meanwhile, on the other core."""
    _die_until_it_listens()
    from rmf.line.glovebox.handle import BoxHandle, BoxSettings

    box = None
    if config.glovebox == "process":
        box = BoxHandle(BoxSettings(config.line, config.handler_memory_bytes))
    from rmf.floor import serve

    if not config.demo:
        return serve.run(config, box=box)
    from rmf import demo

    return serve.run(config, companion=demo.run, box=box)


class _Parser(argparse.ArgumentParser):
    """A parser that shows its examples first, and raises UsageError where argparse would exit."""

    examples = ""

    def format_help(self) -> str:
        return f"{self.examples}\n{super().format_help()}"

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; {self.prog} --help says more")


def _parser() -> _Parser:
    about = "RMF, the Robust Micro-Factory: a durable, replayable factory around a few functions."
    parser = _Parser(prog="rmf", description=about, allow_abbrev=False)
    parser.examples = _EXAMPLES
    parser.add_argument("--version", action="store_true", help="show the versions; -o json for all")
    parser.add_argument("-o", dest="output", choices=("table", "json"), help="form of the output")
    commands = parser.add_subparsers(dest="command", metavar="serve|config|help")
    serve = _add_command(
        commands, "serve", "Run a node of the factory until SIGTERM, SIGINT or SIGHUP."
    )
    serve.examples = _SERVE_EXAMPLES
    config = _add_command(commands, "config", "Show or check the settings that serve would take.")
    config.examples = _CONFIG_EXAMPLES
    config.add_argument("verb", choices=("show", "check"), help="what to do with the settings")
    config.add_argument("-o", dest="output", choices=("table", "json"), help="default: json piped")
    manuals = _add_command(commands, "help", "Print a manual; without a topic, list them.")
    manuals.examples = _HELP_EXAMPLES
    manuals.add_argument("topic", nargs="?", metavar="TOPIC", help="what to read about")
    for command in (serve, config):
        _add_settings(command)
    return parser


def _add_command(commands: "argparse._SubParsersAction[_Parser]", name: str, about: str) -> _Parser:
    """Add a command; its help is short in the list of commands and whole on its own page."""
    return commands.add_parser(name, help=about, description=about, allow_abbrev=False)


def _add_settings(parser: _Parser) -> None:
    """Add one flag a setting; they stay text: one place parses them and names the origin."""
    from rmf.config import CONFIG_KEY, SETTINGS

    group = parser.add_argument_group("settings")
    group.add_argument(f"--{CONFIG_KEY}", metavar="FILE", help="a TOML file of settings")
    for setting in SETTINGS:
        flag = f"--{setting.key.replace('_', '-')}"
        if setting.metavar is None:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, help=setting.help)
        else:
            default = f" (default: {setting.default})" if setting.default else ""
            group.add_argument(flag, metavar=setting.metavar, help=setting.help + default)


def _unknown_text(argument: str, command: str | None) -> str:
    """Say which argument is unknown, and which known one is nearest to it."""
    from rmf.config import CONFIG_KEY, SETTINGS
    from rmf.config_file import nearest

    text = f"unknown argument {argument!r}"
    if argument.startswith("--") and command in _NODE_COMMANDS:
        keys = (CONFIG_KEY, *(setting.key for setting in SETTINGS))
        text += nearest(argument.partition("=")[0], [f"--{key.replace('_', '-')}" for key in keys])
    return text


def _load(options: argparse.Namespace) -> "Config":
    from rmf.config import CONFIG_KEY, SETTINGS, load

    flags: dict[str, str | None] = {CONFIG_KEY: options.config}
    for setting in SETTINGS:
        value = getattr(options, setting.key)
        flags[setting.key] = {True: "on", False: "off"}.get(value, value)
    return load(flags, os.environ)


def _show(config: "Config", output: str | None) -> int:
    """Write every setting with the origin of its value: one JSON object, or a table."""
    import json

    from rmf.config import as_written

    values = as_written(config)
    if output == "json" or (output is None and not sys.stdout.isatty()):
        rows = {
            key: {"value": value, "origin": config.origins[key]} for key, value in values.items()
        }
        _say(json.dumps(rows))
    else:
        cells = {key: _cell(value) for key, value in values.items()}
        width = max(map(len, cells.values()))
        first = max(map(len, cells))
        for key, cell in cells.items():
            _say(f"{key:<{first + 2}}{cell:<{width + 2}}{config.origins[key]}")
    return _say_notices(config)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "-" if value in {None, ""} else str(value)


def _check(config: "Config") -> int:
    _say("the settings are well")
    return _say_notices(config)


def _say_notices(config: "Config") -> int:
    for notice in config.notices:
        _complain(notice)
    return EXIT_DONE


def _say_version(output: str | None) -> int:
    """Write the version of RMF; as JSON also what a report of a fault wants to know."""
    from rmf import __version__

    if output != "json":
        return _say(f"rmf {__version__}")
    import json
    import platform
    from importlib.metadata import version

    from rmf.core.messages import VERSION_MAX

    parts = {name: version(name) for name in ("trio", "attrs", "cbor2", "apsw")}
    facts = {"rmf": __version__, "protocol": VERSION_MAX, "python": platform.python_version()}
    return _say(json.dumps({**facts, **parts, "system": platform.platform(terse=True)}))


def _say(text: str) -> int:
    # A path may hold bytes that are no text: shown escaped, they never stop a command.
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
    return EXIT_DONE


if __name__ == "__main__":
    process_main()
