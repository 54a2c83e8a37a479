"""A line, and what lies beside it, is compiled from its source each time.

Python takes a cached `.pyc` for the source if size and second of change agree. A second edit within
a second, `rsync -t`, `cp -p` and images with fixed times make two texts agree in both, and then a
node would run a line that its file no longer holds, under the digest of the text that it does not
run. So nothing cached is read here, nor written. Everything else that a line imports (installed
packages, RMF itself) is found as ever.
"""

import linecache
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

__all__ = ["FromSource", "compile_from", "compile_named"]

_RMF = Path(__file__).parents[1]
_OWN = (_RMF, _RMF.with_name("tools"))  # RMF, not what users write


class FromSource(SourceFileLoader):
    """Loads a module from the text of its file, and nothing else."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile the file as it is now. Raises what the compiler and the disk raise."""
        path = self.get_filename(fullname)
        # What reads the source later (a digest, a traceback) goes by size and time as well.
        linecache.cache.pop(path, None)
        return self.source_to_code(self.get_data(path), path)


class _Finder(MetaPathFinder):
    """Stands before Python's own finder; what lies in these places it has loaded from source."""

    def __init__(self) -> None:
        self.directories: set[str] = set()
        self.names: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader:
            return None
        if fullname not in self.names and not self._lies_beside(Path(spec.loader.path)):
            return None
        spec.loader = FromSource(spec.loader.name, spec.loader.path)
        return spec

    def _lies_beside(self, file: Path) -> bool:
        """Whether the file is found by way of a line's directory: of the entries of the path that
        it lies under, the innermost (a virtual environment may stand in that directory, too)."""
        if any(file.is_relative_to(own) for own in _OWN):
            return False  # a line beside a checkout of RMF would make each start compile it all
        over = {str(parent) for parent in file.absolute().parents}
        entries = [
            entry for entry in (place or str(Path.cwd()) for place in sys.path) if entry in over
        ]
        return max(entries, key=len, default=None) in self.directories


_finder = _Finder()


def compile_from(directory: str) -> None:
    """From now on compile from source what this process imports out of `directory`, an entry of
    `sys.path`, and its packages."""
    _finder.directories.add(directory)
    _stand_first()


def compile_named(name: str) -> None:
    """From now on compile this module from source, wherever it is installed."""
    _finder.names.add(name)
    _stand_first()


def _stand_first() -> None:
    # Before PathFinder and no further: what stands before that has a reason.
    if _finder not in sys.meta_path:
        at = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else 0
        sys.meta_path.insert(at, _finder)
