"""`python -m tools.native_wheel [DIRECTORY]`: wheels with the compiled piece, for both machines.

One for x86-64 and one for aarch64, for every CPython from 3.11 on, into `dist` unless another
directory is named. It needs nothing of either machine but zig, which is a C compiler for both
(`pip install ziglang`), and Python.h: not Debian's own, which is for one machine alone. The wheel
of Python alone, for all others: `RMF_PURE=1 pip wheel . --no-deps`.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

__all__ = ["MACHINES", "environment", "main"]

_ROOT = Path(__file__).resolve().parent.parent
MACHINES = ("x86_64", "aarch64")
_GLIBC = "2.17"  # of 2012: what pip calls manylinux2014


def environment(machine: str, zig: Path) -> dict[str, str]:
    """Return what `native_hook` is to know to build for a machine."""
    glibc = _GLIBC.replace(".", "_")
    return {
        "RMF_NATIVE_CC": f"{zig} cc -target {machine}-linux-gnu.{_GLIBC}",
        "RMF_NATIVE_PLATFORM": f"manylinux_{glibc}_{machine}.manylinux2014_{machine}",
    }


def main(arguments: list[str]) -> int:
    """Build the wheels. Return 0, or 1 if one of them could not be built."""
    found = find_spec("ziglang")
    if found is None or found.origin is None:
        print("found no zig: pip install ziglang", file=sys.stderr)
        return 1
    zig = Path(found.origin).with_name("zig")
    directory = arguments[0] if arguments else "dist"
    failed = 0
    for machine in MACHINES:
        command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "-w", directory]
        variables = {**os.environ, **environment(machine, zig)}
        done = subprocess.run(command, check=False, cwd=_ROOT, env=variables)  # noqa: S603 our own
        failed |= done.returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
