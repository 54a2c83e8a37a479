"""How an install gets the compiled piece: hatchling calls this when it builds a wheel.

An editable install has it built into the tree, any other into the wheel, which is then one for this
kind of machine. Where it cannot be built, the wheel is one of Python alone, for every machine.
"""

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["NativeHook"]


class NativeHook(BuildHookInterface[Any]):
    """Builds the piece before hatchling gathers files. `python -m tools.native_wheel` says by
    RMF_NATIVE_CC and RMF_NATIVE_PLATFORM for which machine; else it is the one that builds."""

    _scratch: Path | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and say so in `build_data`; `version` is "editable" or "standard"."""
        sys.path.insert(0, self.root)
        try:
            from rmf.native import FOLDER
            from tools import native_build
        finally:
            sys.path.remove(self.root)
        compiler = os.environ.get("RMF_NATIVE_CC")
        if version == "editable":
            folder = Path(FOLDER)
        else:
            folder = self._scratch = Path(tempfile.mkdtemp(prefix="rmf-native-"))
        target = folder / native_build.FILE_NAME
        try:
            native_build.build(target, compiler)
        except native_build.CannotCompile as exc:
            if compiler is not None:
                raise
            self.app.display_info(f"rmf goes without its compiled piece: {exc}")
            return
        if version == "editable":
            return
        machine = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["force_include"][str(target)] = f"rmf/native/{native_build.FILE_NAME}"
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{os.environ.get('RMF_NATIVE_PLATFORM', machine)}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was built for the wheel, which is written."""
        del version, build_data, artifact_path
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
