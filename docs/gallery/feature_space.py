"""How does the hidden layer bend the plane, so that a straight line tells the moons apart?"""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
trace = lessons.record_lesson("moons")  # its last hidden layer has two units
axes = plots.feature_space(trace)
plots.save(axes, folder / "feature_space.png", dpi=120)
