"""Where did training walk, seen from above, and how far is the picture to be trusted?"""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
surface = lessons.lesson_surface("two-weights")  # of a model of your own: explainer.loss_surface(model, criterion, …)
axes = plots.surface(surface)
plots.save(axes, folder / "surface.png", dpi=120)
