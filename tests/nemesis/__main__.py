"""Many seeds: python -m tests.nemesis --seeds 1-2000 --processes 2"""

import argparse
import collections
import faulthandler
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.nemesis import seed as one
from tests.nemesis import three

_FAST = Path("/dev/shm")  # no drive: what it does is decided here


def one_after_another(seeds: range, nodes: int) -> None:
    """Live through these seeds; write a line of JSON for each."""
    run = three.run if nodes == 3 else one.run
    base = str(_FAST) if _FAST.is_dir() else None
    for seed in seeds:
        faulthandler.dump_traceback_later(2 * one.REAL_S_MAX, exit=True)
        place = Path(tempfile.mkdtemp(prefix="nemesis-", dir=base))
        try:
            report = run(seed, place / "data")
        finally:
            shutil.rmtree(place, ignore_errors=True)
        sys.stderr.write(report.where)
        row = {
            "seed": seed,
            "faults": report.faults,
            "acts": report.acts,
            "packets": report.packets,
            "virtual_s": report.virtual_s,
        }
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()
    faulthandler.cancel_dump_traceback_later()


def main() -> int:
    """Return 0 if every law held in every seed."""
    parser = argparse.ArgumentParser(prog="python -m tests.nemesis", description=__doc__)
    parser.add_argument("--seeds", default="1-20", metavar="FIRST-LAST")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=1, choices=(1, 3))
    parser.add_argument("--step", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    first, _, last = args.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    if args.step:
        one_after_another(seeds[:: args.step], args.nodes)
        return 0
    began = time.monotonic()
    command = (sys.executable, "-m", "tests.nemesis", "--nodes", str(args.nodes))
    children = [
        subprocess.Popen(
            [*command, "--seeds", f"{x}-{seeds[-1]}", "--step", str(args.processes)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for x in seeds[: args.processes]
    ]
    rows = [json.loads(x) for child in children for x in child.communicate()[0].splitlines()]
    acts: collections.Counter[str] = collections.Counter()
    for row in rows:
        acts.update(row["acts"])
    failed = [row for row in rows if row["faults"]]
    for row in failed:
        sys.stdout.write(f"seed {row['seed']}: {'; '.join(row['faults'])}\n")
    missing = sorted({*seeds} - {row["seed"] for row in rows})
    if missing:
        sys.stdout.write(f"no end of: {missing[:20]}\n")
    sys.stdout.write(
        f"{len(rows)} seeds, {len(failed) + len(missing)} did not pass,"
        f" {sum(row['packets'] for row in rows)} packets,"
        f" {sum(row['virtual_s'] for row in rows) / 3600:.1f} h in"
        f" {time.monotonic() - began:.0f} s; {dict(sorted(acts.items()))}\n"
    )
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
