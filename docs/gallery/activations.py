"""One network bent to a sine, with ReLUs and with tanh: which units say 0, and which stand at an end of their range?"""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
runs = lessons.record_runs("sine")
axes = plots.activations({name: runs[name] for name in ("ReLU", "tanh")})
plots.save(axes, folder / "activations.png", dpi=120)
