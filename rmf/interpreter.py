"""Which interpreter this process runs on, in words: what a node costs depends on how that was built
(README, "Figures"), and on whether RMF's compiled piece is there."""

import platform
import sys
import sysconfig

from rmf.native import COMPILED

__all__ = ["interpreter"]

_OPTIMISED = {"--enable-optimizations": "PGO", "--with-lto": "LTO"}


def interpreter() -> str:
    """Return its name, version, compiler and file, such as `CPython 3.11.7 (GCC 12.2.0, PGO, LTO)
    /usr/local/bin/python3`, and `, pure` behind it where nothing of RMF is compiled. Some builds
    are optimised and do not say so, as Debian's."""
    configured = str(sysconfig.get_config_var("CONFIG_ARGS"))
    means = [text for option, text in _OPTIMISED.items() if option in configured]
    how = ", ".join([platform.python_compiler(), *means])
    kind = platform.python_implementation()
    pure = "" if COMPILED else ", pure"
    return f"{kind} {platform.python_version()} ({how}) {sys.executable}{pure}"
