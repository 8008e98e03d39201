"""Set before torch, transformers and matplotlib are imported: offline, silent, without a display, on few threads."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["HF_HUB_OFFLINE"] = "1"  # a test that wants the net is wrong
os.environ["TQDM_DISABLE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
