"""When does the network learn which digit, and which one does it forget again?"""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
trace = lessons.record_lesson("digits")  # its probe is one test image of each digit
axes = plots.predictions(trace)
plots.save(axes, folder / "predictions.png", dpi=120)
