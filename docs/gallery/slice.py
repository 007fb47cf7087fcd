"""What does one step see along its gradient, and what does the slope know of it?"""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
slice_ = lessons.lesson_slice("digits", step=0)
axes = plots.slice(slice_)
plots.save(axes, folder / "slice.png", dpi=120)
