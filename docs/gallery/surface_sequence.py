"""The landscape that a step sees: does it stay as it is while training goes on?"""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
sequence = lessons.lesson_sequence("two-layer", steps=5, resolution=21)
axes = plots.surface_sequence(sequence)
plots.save(axes, folder / "surface_sequence.png", dpi=120)
