"""Does the network learn, and is it better than knowing nothing?"""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
trace = lessons.record_lesson("digits")  # recorded once, then found again; of your own: open_trace("runs/mine")
axes = plots.loss(trace)
plots.save(axes, folder / "loss.png", dpi=120)
