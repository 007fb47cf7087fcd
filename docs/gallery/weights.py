"""Handwritten digits: where should an image be bright, and where dark, for a unit of the first layer to speak up?"""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
trace = lessons.record_lesson("digits")
axes = plots.weights(trace)  # of the first layer, before the last step
plots.save(axes, folder / "weights.png", dpi=120)
