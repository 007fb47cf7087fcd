"""Eight layers deep: how many units say the same to every example, with sigmoids, with ReLUs, and with He's start?"""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
runs = lessons.record_runs("depth")
axes = plots.dead_units(runs)
plots.save(axes, folder / "dead_units.png", dpi=120)
