"""Is there a softmax too many? Then the loss comes to rest on 1.4612, however right the answers are."""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
trace = lessons.record_lesson("digits")
axes = plots.loss_mistakes(trace)
plots.save(axes, folder / "loss_mistakes.png", dpi=120)
