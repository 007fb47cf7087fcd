"""Eight layers deep, over a whole run: which rows stay dark, and so hear nothing of the loss?"""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
runs = lessons.record_runs("depth")
axes = plots.gradient_history(runs)  # side by side, on one scale of colours
plots.save(axes, folder / "gradient_history.png", dpi=120)
