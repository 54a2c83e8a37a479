"""What the simulator does of a core's effects when its disk fails."""

from typing import Any

from rmf import limits
from rmf.core import events as ev
from rmf.testing.cluster import SimulatedCluster
from rmf.testing.options import Options
from tests.core.duties import Overheard, checkpoints_ended


def test_a_checkpoint_ends_though_the_disk_fails_meanwhile() -> None:
    """D7 of core/effects: who asked for it waits for its end."""
    options: dict[str, Any] = {"spares": 0, "producers": 0, "faults": {}}
    cluster = SimulatedCluster(Options(seed=1, nodes=1, **options))
    cluster.begin_nodes()
    agenda, node = cluster.agenda, cluster.nodes["n1"]
    agenda.run_until(5 * limits.SECOND)
    assert node.core is not None
    core = Overheard(node.core)
    node.core = core.as_core
    node.happen(ev.CheckpointAsked())
    node.performing.drive.fails = True
    node.happen(ev.Joined(900, "probe", "self-declared:probe", ephemeral=False))
    agenda.run_until(agenda.now_ns + limits.SECOND)
    (ended,) = core.notes.of(ev.CheckpointEnded)
    assert list(core.notes.of(ev.DiskFault))
    assert ended.why
    assert checkpoints_ended(core.notes) == []
