"""Where does each network's answer turn, between two moons that no straight line tells apart?"""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
runs = lessons.record_runs("moons")  # with tanh, with ReLU, and with no activation
axes = plots.decision_boundary(runs)
plots.save(axes, folder / "decision_boundary.png", dpi=120)
