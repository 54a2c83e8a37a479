"""A backup: one file that holds a factory as it was at one Entry, verified, and what is made of it.

    backup.json           what it is: format, cluster, node, index, term, tick, digest, and the
                          BLAKE2b-256 of each part
    <index>.ckpt          the Checkpoint (see checkpoint_layout)
    dlq.sqlite            the DLQ, with every letter up to that Entry

It is a plain tar file, for an operator to look into. Of what it holds only these three members are
ever read, by their names and as plain files, whatever else a stranger may have put there; nothing
is used before all of it is verified.
"""

import hashlib
import json
import os
import re
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import attrs

from rmf.errors import StorageError
from rmf.storage import checkpoint, drive, refound
from rmf.storage.directory import DataDirectory
from rmf.storage.dlq_schema import DLQ_FILE, failures, fetch, open_reading
from rmf.storage.files import fsync_directory
from rmf.storage.refound import Refounding, new_head
from rmf.storage.restore import check_digest

__all__ = ["FACTS", "Backup", "name_of", "pack", "restore_into", "unpack"]

FACTS: Final = "backup.json"
_FORMAT: Final = 1
_CHECKPOINT = re.compile(r"[0-9]{20}\.ckpt")
_FACTS_BYTES_MAX: Final = 64 * 1024
_COPY_BYTES: Final = 1024 * 1024


@attrs.frozen
class Backup:
    """The parts of a backup in a directory, verified. `facts` are those of backup.json; `name` is
    the fingerprint of that file, which tells one backup from another."""

    facts: dict[str, Any]
    name: str
    checkpoint: Path
    dlq: Path

    @property
    def cluster(self) -> bytes:
        """The cluster that it is of."""
        return bytes.fromhex(self.facts["cluster"])


def pack(parts: Path, out: Path, facts: dict[str, Any]) -> Backup:
    """Write what lies in the directory `parts` (a Checkpoint and a DLQ) into the file `out`, whole
    or not at all, verified before. `facts` say what it is. Raises StorageError, OSError."""
    names = sorted(path.name for path in parts.iterdir() if path.name != FACTS)
    hashes = {name: _hash_of(parts / name) for name in names}
    told = {"format": _FORMAT, **facts, "parts": hashes}
    (parts / FACTS).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    found = _verified(parts)
    tmp = out.with_name(out.name + ".tmp")
    fd = os.open(tmp, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                for name in (FACTS, *names):
                    archive.add(parts / name, name, recursive=False, filter=_private)
            file.flush()
            drive.fsync(file.fileno())
        tmp.rename(out)
    except BaseException:
        tmp.unlink(missing_ok=True)
        raise
    fsync_directory(out.absolute().parent)
    return found


def _private(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o600
    return member


def unpack(file: Path, parts: Path) -> Backup:
    """Read a backup into the empty directory `parts`, and verify it. Raises StorageError."""
    try:
        with tarfile.open(file, mode="r:") as archive:
            for member in archive:
                if member.isreg() and _is_part(member.name):
                    _extract(archive, member, parts / member.name)
    except (tarfile.TarError, OSError, EOFError) as exc:
        raise StorageError(f"{file} cannot be read as a backup: {exc}") from exc
    return _verified(parts)


def name_of(file: Path) -> str:
    """Return the fingerprint of a backup, which is not verified for it. Raises StorageError."""
    try:
        with tarfile.open(file, mode="r:") as archive:
            facts = archive.extractfile(archive.getmember(FACTS))
            return _fingerprint(b"" if facts is None else facts.read(_FACTS_BYTES_MAX))
    except (tarfile.TarError, KeyError, OSError, EOFError) as exc:
        raise StorageError(f"{file} cannot be read as a backup: {exc}") from exc


def _fingerprint(raw: bytes) -> str:
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


def _is_part(name: str) -> bool:
    return name in {FACTS, DLQ_FILE} or _CHECKPOINT.fullmatch(name) is not None


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = archive.extractfile(member)
    assert source is not None, "it is a plain file"
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        while data := source.read(_COPY_BYTES):
            file.write(data)
        file.flush()
        drive.fsync(file.fileno())


def _verified(parts: Path) -> Backup:
    """Return the backup in a directory, once every byte of it is what it should be."""
    place = parts / FACTS
    try:
        if place.stat().st_size > _FACTS_BYTES_MAX:
            raise StorageError(
                f"{FACTS} has more than {_FACTS_BYTES_MAX} bytes: it is none of ours"
            )
        raw = place.read_bytes()
        facts = json.loads(raw)
        form, hashes, index = facts["format"], dict(facts["parts"]), int(facts["index"])
        cluster = bytes.fromhex(facts["cluster"])
    except (OSError, ValueError, TypeError, KeyError) as exc:
        raise StorageError(
            f"{FACTS} is missing or unreadable ({exc}): expected a backup that `rmf-admin backup`"
            f" wrote"
        ) from exc
    if form != _FORMAT:
        raise StorageError(
            f"this backup has the format {form!r}, this version reads {_FORMAT}: use the version of"
            f" RMF that wrote it, or a later one"
        )
    stands = f"{index:020d}.ckpt"
    for name in (stands, DLQ_FILE):
        _compare(parts / name, hashes.get(name))
    check_digest(parts / stands, cluster)
    _check_letters(parts / DLQ_FILE)
    return Backup(facts, _fingerprint(raw), parts / stands, parts / DLQ_FILE)


def _compare(path: Path, stated: Any) -> None:
    try:
        found = _hash_of(path)
    except FileNotFoundError:
        found = None
    if found is None or found != stated:
        raise StorageError(
            f"the backup is damaged: its part {path.name} is "
            f"{'missing' if found is None else 'not what was written'}. Nothing of it is used; take"
            f" another one"
        )


def _check_letters(path: Path) -> None:
    with failures(path), closing(open_reading(path)) as db:
        found = fetch(db, "PRAGMA quick_check(1)")
    if found != [("ok",)]:
        raise StorageError(f"the DLQ of the backup is damaged: {found[0][0]}")


def _hash_of(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=32)
    with path.open("rb") as file:
        while data := file.read(_COPY_BYTES):
            digest.update(data)
    return digest.hexdigest()


def restore_into(
    directory: DataDirectory, backup: Backup, *, peer_address: str = "", client_address: str = ""
) -> Refounding:
    """Make a data directory without a cluster that of a new one, of this node alone, which goes on
    from a backup (see refound); return it. Raises OSError, StorageError."""
    assert not directory.founded
    head = checkpoint.head_of(backup.checkpoint, backup.cluster)
    new = Refounding.of(directory.node, head, backup.name, peer=peer_address, client=client_address)

    def write(target: Path) -> Path:
        fresh = new_head(head, new)
        return checkpoint.rewrite(backup.checkpoint, target, new.cluster, fresh)

    refound.stage(directory.path, new, write, dlq=backup.dlq)
    directory.refounded()
    return new
