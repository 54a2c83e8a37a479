"""`rmf`, on a machine that has booted since: python -m rmf.floor.rebooted HEX serve ...

For `rmf-bench reboot`, which measures a power cut: HEX is the id of the boot that this process is
to believe in (R6). All else is the command as it is.
"""

import runpy
import sys

from rmf.floor import node_clock

__all__: list[str] = []

if __name__ == "__main__":
    boot = bytes.fromhex(sys.argv.pop(1))
    node_clock.boot_id = lambda: boot
    runpy.run_module("rmf", run_name="__main__", alter_sys=True)
