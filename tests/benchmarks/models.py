"""Judge the recorder on torchvision's classifiers in their full width, and print a table.

    python tests/benchmarks/models.py [NAME …]

The tests hold the same models to the same judge, five of them made narrower. In full width vit_h_14 and regnet_y_128gf
take 15 GB of memory each.
"""

import gc
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import zoo
from tests.referee import judge


def row(name: str) -> str:
    """Judge one classifier: what was recorded of it against zero probes, and its training against a bare run."""
    start = time.perf_counter()
    model, args = zoo.classifier(name, narrow=False)
    weights = sum(parameter.numel() for parameter in model.parameters())
    verdict = judge(model, lambda recorded: zoo.loss_of(recorded(*args)))
    trace = verdict.trace
    reasons = [why for layer, why in trace.missing.items() if not why.startswith("no parameter gradient")]
    not_called = sum("not called" in why for why in reasons)
    cells = [
        f"{name:20}", f"{weights / 1e6:7.1f}", f"{len(trace.layers):7}", f"{len(verdict.equal):7}",
        f"{len(trace.aliases):7}", f"{not_called:10}", f"{len(reasons) - not_called:7}", f"{len(verdict.faults):7}",
        f"{time.perf_counter() - start:8.1f}",
    ]  # fmt: skip
    return " ".join(cells)


def main() -> None:
    """Print a row a model; faults are outputs that are wrong or silently absent, and training that is another."""
    torch.set_num_threads(1)
    print(f"{'':20} M weights outputs  equal aliases not called missing  faults  seconds")
    for name in sys.argv[1:] or zoo.names():
        print(row(name), flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
