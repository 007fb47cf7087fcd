"""What did the network see in one image, before and after training?"""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
trace = lessons.record_lesson("digits")
axes = plots.classification(trace, example=4)
plots.save(axes, folder / "classification.png", dpi=120)
