"""The directory of one of three nodes, with a history that is committed up to some Entry."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rmf.core.entry import Genesis, Member
from rmf.storage.dlq_store import DlqStore
from tests.core.surroundings import PERIOD_NS
from tests.storage.written_node import CLUSTER, WrittenNode, written_node

NAMES = ("n1", "n2", "n3")
MEMBERS = [Member(n, n.encode() * 8, f"{n}:7510", f"{n}:7410") for n in NAMES]


@contextmanager
def of_three(path: Path) -> Iterator[WrittenNode]:
    """Entries 1 to 6: 1 to 5 are known to be committed; 4 and 6 hold a letter."""
    with written_node(path) as node:
        author = node.author
        drafts = [author.write(Genesis(CLUSTER, PERIOD_NS, MEMBERS)), author.accession()]
        drafts += [author.tick("a", "b"), author.tick("c", "poison"), author.tick("d")]
        node.write(*drafts)
        node.commit()
        node.write(author.tick("e", "poison"))
        yield node


def letters_of(node: WrittenNode) -> list[str]:
    """The letters in the DLQ."""
    directory = node.directory
    return letters_in(directory.dlq_path, directory.cluster, directory.node)


def letters_in(path: Path, cluster: bytes, node: str) -> list[str]:
    """The ids of the letters in a DLQ, which must be that node's."""
    with closing(DlqStore.open(path, cluster=cluster, node=node)) as store:
        found = store._db.execute("SELECT id FROM letters ORDER BY row").fetchall()
    return [str(name) for (name,) in found]
