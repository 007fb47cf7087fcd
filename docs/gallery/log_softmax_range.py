"""Where does log(softmax) end in float32, and how near did the scores of this run come?"""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
trace = lessons.record_lesson("digits")
axes = plots.log_softmax_range(trace)
plots.save(axes, folder / "log_softmax_range.png", dpi=120)
