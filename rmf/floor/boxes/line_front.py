"""Where a node's line runs: in a glove box, or in the node's own process (R19).

It has the line loaded, tells who it is, and gives the tasks that keep the glove box and that run
again what other nodes executed (R21). With a glove box the node itself never loads the user's code.
"""

from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from rmf import limits
from rmf.floor.boxes import audit, dry_run_task, glove_box
from rmf.floor.boxes.audit_box import AuditBox
from rmf.floor.boxes.box_keeper import BoxState
from rmf.floor.children import child_of
from rmf.floor.doors import Doors
from rmf.floor.instruments import Audits, Durations
from rmf.floor.node_clock import now
from rmf.floor.supervisor import Child, InProgress
from rmf.line.glovebox.handle import BoxHandle, BoxSettings, LineFacts
from rmf.line.inline import Inline
from rmf.line.line import Line
from rmf.line.load import load_line
from rmf.line.printing import Prints, fill_standard_descriptors, open_apart

if TYPE_CHECKING:
    from rmf.config import Config

__all__ = ["LineFront"]


class LineFront:
    """`inline` runs the line here, None if a glove box does. The first box is started at once, and
    loads the line while the node does other things. `audit_ppm` is the share, in a million, of the
    Ticks of others that are to be run again here. Raises LineError."""

    def __init__(self, config: "Config", box: BoxHandle | None = None) -> None:
        self._node = config.node
        self.audit_ppm = round(config.audit * 1_000_000)
        self.inline: Inline | None = None
        self._facts: LineFacts | None = None
        self._bench: BoxState | None = None
        fill_standard_descriptors()  # before the node opens anything
        if config.glovebox == "inline":
            self.inline = _inline(load_line(config.line))
            return
        settings = BoxSettings(config.line, config.handler_memory_bytes)
        self._bench = BoxState(settings, config.handler_time_ns / limits.SECOND, first=box)

    def facts(self) -> LineFacts:
        """Return who the line is; waits, blocking, until it is loaded. Raises LineError."""
        if self._facts is None:
            if self.inline is not None:
                self._facts = LineFacts.of(self.inline.line)
            else:
                assert self._bench is not None
                self._facts = self._bench.wait_ready()
        return self._facts

    def children(self, doors: Doors, execute: Durations) -> list[Child]:
        """Return the task that keeps the glove box, if there is one; `execute` measures."""
        if self._bench is None:
            return []
        return [child_of("glove_box", partial(glove_box.run, doors, self._bench, execute), doors)]

    def apart(self, doors: Doors, counts: Audits) -> list[Child]:
        """Return the tasks that run the line beside the bench: dry runs, and audits if anything is
        audited here. A node works without them."""
        return [self._dry_runs(doors), *self._auditors(doors, counts)]

    def _dry_runs(self, doors: Doors) -> Child:
        facts = self.facts()

        def open_runner(nursery: trio.Nursery) -> audit.AuditRunner:
            if self.inline is not None:
                return audit.InlineRunner(_inline(self.inline.line))
            assert self._bench is not None
            box = AuditBox(self._bench_apart(self._bench), facts)
            nursery.start_soon(box.serve, InProgress())
            return box

        return child_of("dry_run", dry_run_task.DryRunTask(doors, open_runner).run, doors)

    def _bench_apart(self, bench: BoxState) -> BoxState:
        """Return a bench of its own, at low priority: the serving box comes first."""
        settings = attrs.evolve(bench.settings, nice=limits.BOX_AUDIT_NICE)
        return BoxState(settings, bench.budget_s, line=self.facts().identity)

    def _auditors(self, doors: Doors, counts: Audits) -> list[Child]:
        if not self.audit_ppm:
            return []
        facts, children = self.facts(), []
        runner: audit.AuditRunner
        if self._bench is None:
            assert self.inline is not None
            runner = audit.InlineRunner(_inline(self.inline.line))
        else:
            runner = box = AuditBox(self._bench_apart(self._bench), facts)
            children.append(child_of("audit_box", partial(audit.keep, box.serve), doors))
        auditor = audit.Auditor(self._node, runner, facts.listener(), lambda: now().wall_ns, counts)
        return [*children, child_of("audit", partial(audit.run, doors, auditor), doors)]

    def close(self) -> None:
        """Close a box that no task has taken over."""
        if self._bench is not None:
            self._bench.close()


def _inline(line: Line) -> Inline:
    """Return what runs a line in this process. What its handlers print goes to the node's stderr,
    as from a glove box: on stdout a script may wait for the node's own words."""
    return Inline(line, prints=Prints(open_apart(2)))
