"""The hard sets: dense prompts on which a search with a model of that size has room to climb.

On the tasks of short prompts the best of a few dozen pictures is right nearly always, so no two searches can be told
apart there.  A hard set has as many facts a prompt as leave the judge's own choice among 64 samples of the model right
in 30 to 85 % (`benchmarks/hard_set.py`).  Its prompts, of the test split, lie in data/prompts and not in code, so that
they stay what they are when the code that drew them changes.
"""

from ..names import check_name
from ..paths import data_folder, read_lines

HARD = ("nano", "tiny")  # the sizes that have one


def hard(size: str) -> list[str]:
    """The hard set of the models of that size, in its fixed order.

    Raises ValueError for a size that has none, FileNotFoundError where its file is missing.
    """
    check_name(size, HARD, "size with a hard set")
    path = data_folder() / "prompts" / f"hard-{size}.txt"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: restore it with `git checkout data/prompts`")
    return read_lines(path)
