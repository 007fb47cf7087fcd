"""How does the loss reach each weight? The lecture's small network at the step where it was most wrong."""

import sys
from pathlib import Path

from explainer import lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
trace = lessons.record_lesson("two-layer")  # x → L1 → S → L2 → loss; recorded once, then kept
axes = plots.chain_rule(trace, theme="light")  # every gradient worked out by hand, and compared with autograd's
plots.save(axes, folder / "chain_rule.png", dpi=110)
