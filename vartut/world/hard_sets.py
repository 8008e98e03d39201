"""The hard sets: dense prompts on which a search with a model of that size has room to climb.

On the tasks of short prompts the best of a few dozen pictures is right nearly always, so no two searches can be told
apart there.  A hard set has as many facts a prompt as leave the judge's own choice among 64 samples of the model right
in 30 to 85 % (`benchmarks/hard_set.py`).  Its prompts, of the test split, lie in data/prompts and not in code, so that
they stay what they are when the code that drew them changes.
"""

import hashlib

from ..names import check_name
from ..paths import data_folder, read_lines

SHA256 = {"nano": "764ab10d321597ab", "tiny": "cd0b3f305b35207b"}  # of the prompts, a line each: the first 16 digits
HARD = tuple(SHA256)  # the sizes that have one


def hard(size: str) -> list[str]:
    """The hard set of the models of that size, in its fixed order.

    Raises ValueError for a size that has none and where its file is damaged, FileNotFoundError where that is missing.
    """
    check_name(size, HARD, "size with a hard set")
    path = data_folder() / "prompts" / f"hard-{size}.txt"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: restore it with `git checkout data/prompts`")
    prompts = read_lines(path)
    if hashlib.sha256("\n".join(prompts).encode()).hexdigest()[:16] != SHA256[size]:
        raise ValueError(f"{path} is damaged: restore it with `git checkout data/prompts`")
    return prompts
