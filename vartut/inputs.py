"""What is given from outside becomes what the code computes with, or is refused in one line."""

import operator


def whole(least: int | None = None, **named) -> int:
    """The one named argument as a plain int: `whole(least=1, n=n)`.

    Integers of every kind are taken (Python's, NumPy's, torch's of one element); what is kept and hashed is always
    Python's, so that the kind never changes a picture.  Raises ValueError for bools, floats, texts, and for less than
    `least`.
    """
    [(name, value)] = named.items()
    kind = str(getattr(value, "dtype", type(value).__name__))
    try:
        number = None if "bool" in kind else operator.index(value)
    except (TypeError, ValueError):  # torch raises the latter for several elements
        number = None
    if number is None or (least is not None and number < least):
        bound = "" if least is None else f" of at least {least}"
        raise ValueError(f"{name} is a whole number{bound}; got {value!r}")
    return number
