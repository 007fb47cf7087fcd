"""Eight layers deep: how much of the gradient reaches the first, with sigmoids, with ReLUs, and with He's start?"""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
runs = lessons.record_runs("depth")
axes = plots.gradient_flow(runs, step=0)  # the first step, before anything could be learned
plots.save(axes, folder / "gradient_flow.png", dpi=120)
