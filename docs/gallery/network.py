"""What does one example become on its way through the network? A point of two moons, after training."""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
trace = lessons.record_lesson("moons")  # the run that is recorded, once; then it is kept
axes = plots.network(trace, example=0, theme="light")  # of the last recorded step; step=0 shows the untrained network
plots.save(axes, folder / "network.png", dpi=110)
