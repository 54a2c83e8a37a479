"""Which interpreter this process runs on, in words: what a node costs depends on how that was built
(README, "Figures"), and on whether RMF's compiled piece is there."""

import platform
import sysconfig

from rmf.native import COMPILED

__all__ = ["interpreter", "interpreter_build"]

_OPTIMISED = {"--enable-optimizations": "PGO", "--with-lto": "LTO"}


def interpreter_build() -> str:
    """Return its name, version and compiler, such as `CPython 3.11.7 (GCC 12.2.0, PGO, LTO)`. Some
    builds are optimised and do not say so, as Debian's."""
    configured = str(sysconfig.get_config_var("CONFIG_ARGS"))
    means = [text for option, text in _OPTIMISED.items() if option in configured]
    how = ", ".join([platform.python_compiler(), *means])
    return f"{platform.python_implementation()} {platform.python_version()} ({how})"


def interpreter() -> str:
    """Return the same, and `, pure` behind it where nothing of RMF is compiled."""
    return f"{interpreter_build()}{'' if COMPILED else ', pure'}"
