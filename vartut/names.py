"""Names, and what is said of a wrong one."""

import difflib
from collections.abc import Sequence


def nearest(name: str, known: Sequence[str], least: float = 0.0) -> str | None:
    """The known name that is most like this one; None if there is none whose likeness, 0 to 1, is `least` or more."""
    return next(iter(difflib.get_close_matches(str(name), known, n=1, cutoff=least)), None)


def check_name(name: str, known: Sequence[str], kind: str) -> None:
    """Raise ValueError with the nearest known name unless `name` is one of `known`."""
    if name not in known:
        raise ValueError(f'unknown {kind} "{name}"; did you mean "{nearest(name, known)}"? known: {", ".join(known)}')
