"""Memory of loading Infinity-2B in bfloat16, from synthetic files: data/results/published_loading.csv.

    python benchmarks/published_loading.py --folder /somewhere/with/10/GB

Writes 9.3 GB of zeros under the authors' names with torch.save, as the authors' files are, loads them in a process of
its own through `vartut.published.loading.load_published`, and removes them.  What counts is the most anonymous memory
(RssAnon of Linux): pages of the mapped file can be dropped at any time, these cannot.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from tables import replace_rows, stamp

from vartut.paths import data_folder, expanded
from vartut.published.files import source_of

NAME = "infinity-2b"
MEASURE = """
import json, re, sys, threading, time
import torch
from vartut.published.loading import load_published

def memory(field):
    return int(re.search(field + r":\\s+(\\d+)", open("/proc/self/status", encoding="utf-8").read())[1]) / 2**20

before, peak, done = memory("RssAnon"), 0.0, threading.Event()

def watch():
    global peak
    while not done.is_set():
        peak = max(peak, memory("RssAnon"))
        time.sleep(0.01)

threading.Thread(target=watch, daemon=True).start()
began = time.perf_counter()
tokenizer, transformer = load_published(sys.argv[1], "cpu", folder=sys.argv[2], lock=sys.argv[2] + "/lock.json")
done.set()
print(json.dumps({
    "anonymous memory before, GiB": before, "most anonymous memory, GiB": max(peak, memory("RssAnon")),
    "most resident memory with pages of the file, GiB": memory("VmHWM"), "seconds": time.perf_counter() - began,
    "transformer's type": str(next(transformer.parameters()).dtype).removeprefix("torch."),
}))
"""


def write(folder: Path) -> float:
    """Zeros under the authors' names, float32, which are among the tests' data; the files' size together in GB."""
    path = Path(__file__).parents[1] / "tests" / "parity" / "models.json.gz"
    layouts, source = json.loads(gzip.decompress(path.read_bytes()))["checkpoints"], source_of(NAME)
    files = ((source.tokenizer, "infinity_vae_d32reg", "vae"), (source.transformer, "infinity_2b_reg", None))
    for file, layout, key in files:
        state = {name: torch.zeros(shape) for name, shape in layouts[layout].items()}  # no memory until it is touched
        torch.save({key: state} if key else state, folder / file)
    return sum((folder / file).stat().st_size for file in (source.tokenizer, source.transformer)) / 1e9


def main() -> None:
    """Write, load, note, remove."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=expanded, help="where 10 GB are free; default: the system's temporary folder")
    with tempfile.TemporaryDirectory(dir=parser.parse_args().folder) as folder:
        size = write(Path(folder))
        command = [sys.executable, "-c", MEASURE, NAME, folder]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    made = stamp(torch.device("cpu")) | {"files_gb": f"{size:.2f}"}
    rows = []
    for what, value in found.items():
        value = f"{value:.3g}" if isinstance(value, float) else value
        rows.append({"model": NAME, "what": what, "value": value} | made)
        print(*rows[-1].values())
    replace_rows(data_folder() / "results" / "published_loading.csv", rows, key=lambda row: None)  # the whole table


if __name__ == "__main__":
    main()
