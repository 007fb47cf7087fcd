"""Five learning rates from one start: which crawls, which arrives, which bounces?"""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
runs = lessons.record_runs("learning-rates")
axes = plots.learning_rates(runs)
plots.save(axes, folder / "learning_rates.png", dpi=120)
