"""Where the files that ship with the course are: weights, the paper's tables, measured results."""

import os
from pathlib import Path


def data_folder() -> Path:
    """The folder `data/`: VARTUT_DATA if that is set, else the installed package's, else the clone's.

    Raises:
        FileNotFoundError: there is none; the message names the remedy.
    """
    package = Path(__file__).resolve().parent
    if chosen := os.environ.get("VARTUT_DATA"):
        if not Path(chosen).is_dir():
            raise FileNotFoundError(f"VARTUT_DATA is {chosen!r}, no folder: unset it, or set it to the clone's data/")
        return Path(chosen).resolve()
    for folder in (package / "data", package.parent / "data"):  # a wheel has it inside the package, a clone beside it
        if (folder / "weights").is_dir():
            return folder
    raise FileNotFoundError(
        f"no data/ inside or beside {package}: install the package again (`pip install -e .` in a complete clone), "
        "or set VARTUT_DATA to the clone's data/"
    )
