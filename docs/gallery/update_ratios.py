"""Eight layers deep: by which share of itself does each layer move in a step?"""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
runs = lessons.record_runs("depth")
axes = plots.update_ratios(runs)  # from the first layer, dark, to the last, bright
plots.save(axes, folder / "update_ratios.png", dpi=120)
