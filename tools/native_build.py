"""`python -m tools.native_build`: compile the one compiled piece of RMF, where it can be.

It decides how: with the C compiler that the machine has, against the stable ABI of CPython 3.11,
stamped with its sources, so that `rmf.native` knows a stale one. An install calls it too
(`native_hook`); there it is no fault if it cannot be built, since RMF runs without. RMF_PURE=1
asks for that.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from rmf.native import FOLDER, pure_is_asked_for, sources, stamp

__all__ = ["FILE_NAME", "CannotCompile", "build", "main"]

FILE_NAME = "_compiled.abi3.so"
_ABI = 0x030B0000  # CPython 3.11: what is built once serves every later version
_SECONDS_MAX = 120


class CannotCompile(Exception):
    """The compiled piece cannot be built here; the text says why."""


def build(target: Path, compiler: str | None = None) -> None:
    """Build `target` from the sources; `compiler` is a command with its options, of a machine that
    need not be this one. Raises CannotCompile."""
    if compiler is None and pure_is_asked_for():
        raise CannotCompile("RMF_PURE asks for Python alone")
    if compiler is None and (sys.implementation.name != "cpython" or sys.platform != "linux"):
        raise CannotCompile("it is built for CPython on Linux")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise CannotCompile("without a GIL there is no stable ABI")
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").is_file():
        raise CannotCompile(f"no Python.h in {headers}")
    command = [
        *(shlex.split(compiler) if compiler else [_compiler()]),
        *("-std=c11", "-O2", "-s", "-fPIC", "-shared", "-fvisibility=hidden", f"-I{headers}"),
        f"-DPy_LIMITED_API={_ABI:#x}",
        f'-DRMF_STAMP="{stamp()}"',
        *(*(path for path in sources() if path.endswith(".c")), "-o", str(target)),
    ]
    try:
        done = subprocess.run(  # noqa: S603 the machine's compiler, or the caller's
            command, check=False, capture_output=True, text=True, timeout=_SECONDS_MAX
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CannotCompile(f"{command[0]}: {exc}") from exc
    if done.returncode:
        raise CannotCompile(f"{shlex.join(command)}: {done.stderr.strip()}")


def _compiler() -> str:
    named = os.environ.get("CC")
    for name in [named] if named else ["cc", "gcc", "clang"]:
        if shutil.which(name):
            return name
    raise CannotCompile(f"no C compiler: {named or 'neither cc nor gcc nor clang'}")


def main() -> int:
    """Build it in this tree. Return 0, or 1 if it cannot be built."""
    target = Path(FOLDER, FILE_NAME)
    try:
        build(target)
    except CannotCompile as exc:
        print(f"not built: {exc}", file=sys.stderr)
        return 1
    print(f"built {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
