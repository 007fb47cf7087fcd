"""Does softmax sum to 1 over the classes, or by mistake over the batch? The first loss gives it away."""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
trace = lessons.record_lesson("digits")
axes = plots.softmax_dim(trace)
plots.save(axes, folder / "softmax_dim.png", dpi=120)
