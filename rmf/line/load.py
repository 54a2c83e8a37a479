"""From what stands behind `--line` to a Line that can run, or an error that says what to do.

    FILE.py:NAME           a file, loaded like a script: what lies beside it can be imported
    package.module:NAME    a module, found like any import, the working directory included
    (nothing)              the built-in line `board`

Loading compiles and runs the user's module as its file is now (`line/from_source`). Whatever it
raises becomes a LineError that names it.
"""

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from rmf.core.bag import evidence_of
from rmf.errors import LineError
from rmf.line.board import board
from rmf.line.cell_values import type_name
from rmf.line.from_source import FromSource, compile_from, compile_named
from rmf.line.line import Line

__all__ = ["load_line"]

_FORMS = "expected FILE.py:NAME or package.module:NAME"


def load_line(spec: str | None) -> Line:
    """Return the line that `spec` names, checked and ready to run; None names `board`.

    Raises LineError.
    """
    if spec is None:
        board.check()
        return board
    place, colon, name = spec.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise LineError(f"--line {spec}: {_FORMS}, where NAME is the variable that holds the Line")
    from_file = place.endswith(".py")
    module = _load_file(spec, Path(place)) if from_file else _load_module(spec, place)
    line = vars(module).get(name)
    if not isinstance(line, Line):
        raise LineError(f"--line {spec}: {_what_there_is(module, name, line)}")
    line.check()
    return line


def _load_file(spec: str, path: Path) -> ModuleType:
    path = path.absolute()
    if not path.is_file():
        raise LineError(f"--line {spec}: there is no file {path}")
    _make_importable(str(path.parent))
    # Its own name, not the bare stem: a line in `queue.py` must not stand in for the module queue.
    # It is the same wherever the file lies, and found in sys.modules, as attrs needs it.
    name = f"rmf_line_{path.stem}"
    loader = FromSource(name, str(path))
    described = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert described is not None
    module = importlib.util.module_from_spec(described)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException as exc:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise _failed(spec, exc) from exc  # noqa: ASYNC104 no cancellation comes here
    return module


def _load_module(spec: str, name: str) -> ModuleType:
    _make_importable(str(Path.cwd()))
    compile_named(name)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (name == exc.name or name.startswith(exc.name + ".")):
            raise LineError(
                f"--line {spec}: there is no module {exc.name!r} (looked in the working directory"
                f" and in the installed packages); for a file write {name}.py:NAME"
            ) from None
        raise _failed(spec, exc) from exc
    except BaseException as exc:
        raise _failed(spec, exc) from exc  # noqa: ASYNC104 no cancellation comes here


def _make_importable(directory: str) -> None:
    if directory not in sys.path:
        sys.path.insert(0, directory)
    compile_from(directory)


def _failed(spec: str, exc: BaseException) -> LineError:
    evidence = evidence_of(exc)
    frames = traceback.extract_tb(exc.__traceback__)
    place = f" (line {frames[-1].lineno} of {frames[-1].filename})" if frames else ""
    return LineError(f"--line {spec}: loading it raised {evidence.type}: {evidence.message}{place}")


def _what_there_is(module: ModuleType, name: str, found: Any) -> str:
    lines = sorted(key for key, value in vars(module).items() if isinstance(value, Line))
    has = "its Lines are " + ", ".join(lines) if lines else "it has no Line: write line = Line(…)"
    if name not in vars(module):
        return f"{module.__file__} has no {name!r}; {has}"
    return f"{name!r} is no Line but of type {type_name(found)}; {has}"
