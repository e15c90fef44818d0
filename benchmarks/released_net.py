"""Peak memory and speed of the published configuration: PLOP on ResNet-101, a later step of a VOC scenario.

    .venv/bin/python benchmarks/released_net.py --root data/voc --norm abn iabn --batch 2 --iterations 4
    .venv/bin/python benchmarks/released_net.py --root data/voc --batch 24 --precision bf16 --iterations 200  # a GPU

The weights are untrained, because the measurements do not depend on them. Each norm runs in a separate process, so that
its peak memory can be measured. Prints one line per norm: seconds per iteration (without the first), images per second,
peak memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import torch

import plopkit
from plopkit.compute import make_accelerator
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.methods.base import StepContext
from plopkit.model.segmenter import segmenter_of
from plopkit.presets import method_of
from plopkit.trainer import Training, batches, fit


def measure(args: argparse.Namespace, norm: str) -> dict[str, float | str]:
    overrides = {
        "data.root": args.root,
        "data.size": args.crop,
        "model.weights": "none",
        "model.norm": norm,
        "optim.batch": args.batch,
        "compute.precision": args.precision,
        "compute.workers": args.workers,
        "compute.micro_batch": args.micro_batch,
    }
    settings = plopkit.configure(args.scenario, "plop", "paper", overrides)
    accelerator = make_accelerator(settings)
    data, method = ScenarioData.open(settings, plopkit.open_scenario(settings)), method_of(settings)
    step = data.scenario.steps[1]
    before = segmenter_of(settings.model, (step.n_old,)).to(accelerator.device)
    teacher, net = method.teacher(before, step), method.begin_step(before, step)
    loader = data.train_loader(step)
    context = StepContext(step, teacher, lambda: islice(batches(loader, 0, accelerator), 2))
    with torch.no_grad():
        prepared = method.prepare(context)
    training = Training(net, settings.optim, step, method)
    ticks = fit(training, loader, method, step, accelerator, teacher, prepared, settings.compute.micro_batch, context)
    began, losses = 0.0, []
    for index, tick in enumerate(islice(ticks, args.iterations + 1)):
        losses.append(tick.total)
        if index == 0:
            began = time.perf_counter()
    seconds = (time.perf_counter() - began) / args.iterations
    cuda = accelerator.device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() if cuda else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "norm": norm,
        "device": torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads",
        "precision": args.precision,
        "crop": args.crop,
        "batch": args.batch,
        "iterations": args.iterations,
        "seconds per iteration": round(seconds, 3),
        "images per second": round(args.batch / seconds, 2),
        "peak GiB": round(peak / 2**30, 2),
        "first and last loss": f"{losses[0]:.4g}, {losses[-1]:.4g}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="root folder of VOC 2012")
    parser.add_argument("--scenario", default="voc 15-5 overlap")
    parser.add_argument("--norm", nargs="+", default=["abn"], choices=["abn", "iabn"])
    parser.add_argument("--crop", type=int, default=512)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--micro-batch", type=int)
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--workers", type=int, default=0)
    args = parser.parse_args()
    if len(args.norm) == 1:
        print(json.dumps(measure(args, args.norm[0])))
        return
    words = iter(sys.argv[1:])
    others = [word for word in words if word not in ("--norm", *args.norm)]
    for norm in args.norm:
        subprocess.run([sys.executable, __file__, *others, "--norm", norm], check=True)


if __name__ == "__main__":
    main()
