"""Do the numbers stay the same? Digests of ten methods' runs on `emoji 15-1 overlap`, recorded once and compared.

    python benchmarks/equality.py --record      # write benchmarks/equality.json with the installed plopkit
    python benchmarks/equality.py               # train again and compare, exit 1 where anything differs

Preset `smoke`, seeds 0 and 1, one thread. A digest covers the numbers and the names of a file's columns or tensors, not
its bytes: a new column or a renamed module is listed, and everything else must be equal to the last digit. Recorded
before version 0.2 moved every module, the file showed that the move changed no number; it was recorded anew when
training was made faster, which rounds differently.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import pandas as pd
import torch
from safetensors.torch import load_file

import plopkit

RECORDED = Path(__file__).with_suffix(".json")
METHODS = ("ft", "lwf", "lwf-mc", "ilt", "ewc", "rw", "pi", "mib", "plop", "joint")
SEEDS = (0, 1)
RENAMED = (("head.", "decoder."), ("classifiers.", "classifier."))  # modules of version 0.1 and their names since


def canonical(name: str) -> str:
    """A tensor's name as the current version gives it; a method's state has its kind before a slash."""
    kind, slash, rest = name.rpartition("/")
    for before, since in RENAMED:
        if rest.startswith(before):
            rest = since + rest.removeprefix(before)
    return kind + slash + rest


def tensors_digest(path: Path) -> str:
    """SHA-256 of a safetensors file's tensors in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted((canonical(name), tensor) for name, tensor in load_file(path).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def columns_digests(path: Path) -> dict[str, str]:
    """SHA-256 of each column of a table, as text."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return {name: hashlib.sha256("\n".join(table[name]).encode()).hexdigest() for name in table.columns}


def digests(method: str, seed: int, out: Path) -> dict[str, str]:
    """Train one run; digests by file and column."""
    settings = plopkit.configure("emoji 15-1 overlap", method, "smoke", {"seed": seed, "out": out, "compute.cpu": True})
    folder = plopkit.run(settings, progress=False)
    found = {}
    for table in ("results.csv", "summary.csv"):
        found |= {f"{table} {name}": digest for name, digest in columns_digests(folder.path / table).items()}
    for path in sorted(folder.checkpoints.glob("*.safetensors")):
        found[path.name.replace(".memory.", ".state.")] = tensors_digest(path)
    return found


def main() -> int:
    """Record or compare; 1 where a recorded digest is missing or another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write the digests instead of comparing them")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    made = {}
    with tempfile.TemporaryDirectory() as out:
        for seed in args.seeds:
            for method in args.methods:
                made[f"{method} seed {seed}"] = digests(method, seed, Path(out))
                print(f"{method} seed {seed}: {len(made[f'{method} seed {seed}'])} digests", flush=True)
    if args.record:
        RECORDED.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        return 0
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    wrong = [
        f"{run}: {name}" for run in made for name, digest in recorded[run].items() if made[run].get(name) != digest
    ]
    new = sorted({name for run in made for name in made[run].keys() - recorded[run].keys()})
    print("\n".join(f"differs: {line}" for line in wrong) or "every recorded number is the same")
    print("new, not compared: " + (", ".join(new) or "nothing"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
