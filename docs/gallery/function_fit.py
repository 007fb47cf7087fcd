"""Does a network become sin 2x? With an activation that bends it does; without one it is a straight line."""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
runs = lessons.record_runs("sine")
axes = plots.function_fit(runs)
plots.save(axes, folder / "function_fit.png", dpi=120)
