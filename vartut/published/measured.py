"""Memory of the published models as it was measured, beside what `costs.py` computes: for notebook 11.

benchmarks/published_speed.py writes data/results/published_speed.csv, with random weights of the published sizes.
"""

from .claims import table
from .costs import memory


def measured_memory() -> list[dict]:
    """A dict per run and quantity: model, rows at once, what, and three numbers in MiB, without the weights.

    `what` is "caches" for caches and logits alone; else "painted" or "in a beam", for all memory beside the weights.
    The numbers: `measured`; `computed`; and `working`, the share of working memory in the computed (0 for caches).
    """
    found = {}
    for row in table("results", "published_speed"):
        if "caches and logits held" in row["what"] or "most memory" in row["what"]:
            run = found.setdefault((row["model"], int(row["batch"]), row["what"]), {})
            run[row["how"]] = float(row["value"])
    runs = []
    for (model, rows, quantity), run in found.items():
        what = "caches" if "held" in quantity else "in a beam" if "beam" in quantity else "painted"
        working = 0.0 if what == "caches" else memory(model).working(rows) / 2**20
        runs.append({"model": model, "rows": rows, "what": what, **run, "working": working})
    return runs
