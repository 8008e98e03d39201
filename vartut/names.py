"""Names, and what is said of a wrong one."""

import difflib


def check_name(name: str, known: tuple[str, ...], kind: str) -> None:
    """Raise ValueError with the nearest known name unless `name` is one of `known`."""
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.0)[0]
        raise ValueError(f'unknown {kind} "{name}"; did you mean "{near}"? known: {", ".join(known)}')
