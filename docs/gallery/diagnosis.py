"""What is wrong with this run, if anything? Eight layers of sigmoids, whose first ones hear nothing of the loss."""

import sys
from pathlib import Path

from explainer import diagnosis, lessons, plots

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
runs = lessons.record_runs("depth")  # the same network with sigmoids, with ReLUs, and with ReLUs begun as He did
wrong = [found.kind for found in diagnosis.findings(runs["sigmoid"]) if found.wrong]  # as data: vanishing, not learning
axes = plots.diagnosis(runs["sigmoid"], theme="light")  # as a page
plots.save(axes, folder / "diagnosis.png", dpi=100)
