"""Eight layers of sigmoids: the values of the gradient wander to the left, layer by layer away from the loss."""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
trace = lessons.record_runs("depth")["sigmoid"]
axes = plots.gradient_distribution(trace, step=0)
plots.save(axes, folder / "gradient_distribution.png", dpi=120)
