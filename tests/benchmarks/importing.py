"""What `import explainer` costs beside `import numpy`: `python tests/benchmarks/importing.py [--rounds 9]`.

Each import in a fresh interpreter, in turn; the bare interpreter's own start is taken off. Medians.
"""

import argparse
import statistics
import subprocess
import sys
import time

WAYS = {"nothing": "pass", "numpy": "import numpy", "explainer": "import explainer", "explainer.open_trace": ""}
WAYS["explainer.open_trace"] = "import explainer; explainer.open_trace"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for turn in range(rounds + 1):  # the first fills the caches
        for name, code in WAYS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    middle = {name: statistics.median(measured) for name, measured in seconds.items()}
    numpy = middle["numpy"] - middle["nothing"]
    for name, measured in middle.items():
        held = "   held to 1.3" if name == "explainer" else ""
        print(f"import {name:22} {1e3 * measured:6.0f} ms   × {(measured - middle['nothing']) / numpy:5.2f}{held}")


if __name__ == "__main__":
    main()
