"""Which way is up? The arrows of the gradient point there, and training goes the other way."""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
surface = lessons.lesson_surface("two-weights")
axes = plots.mountain(surface)
plots.save(axes, folder / "mountain.png", dpi=120)
