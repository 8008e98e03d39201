"""What the test cell of an exercise stands on.

    with exercise("2.1") as check:
        check(bits(scales) == 520, "count n * n tokens for a scale, not n")

prints `2.1 solved`, or `2.1 not solved yet: ...` with the message of the first claim that does not hold, so that a
notebook with its exercises still open runs from top to bottom.  Any other exception is the reader's own bug and stays
visible.  `check.number(share(scales), "a share")` gives an answer as a float, or says that it is none.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

TORCH = str(Path(torch.__file__).parent)  # with a default device set, torch's functions have frames of their own there


class Check:
    """Called with a claim and what to say where it does not hold; unlike `assert` it works under `python -O`, too."""

    def __init__(self):
        self.made = 0  # calls so far

    def __call__(self, claim, message: str) -> None:
        """Raise AssertionError with the message unless the claim holds."""
        self.made += 1
        if not claim:
            raise AssertionError(message)

    def number(self, answer, what: str) -> float:
        """The answer as a float: of Python's, NumPy's or torch's own, a fraction; raises AssertionError for others.

        True and False are answers to other questions, and nan is equal to nothing, so neither is a number here; nor is
        what has no end.
        """
        self.made += 1
        try:
            plain = answer.item() if hasattr(answer, "item") else answer  # of NumPy and torch
            found = math.nan if isinstance(plain, bool | str) else float(plain)
        except (TypeError, ValueError, RuntimeError, OverflowError):  # torch raises the third for several numbers
            found = math.nan
        if not math.isfinite(found):
            raise AssertionError(f"{what} is a finite number, and this is {answer!r:.40}")
        return found


@contextmanager
def exercise(number: str) -> Iterator[Check]:
    """Run the checks of one exercise, by the `Check` that it hands over, and print one line on how it stands.

    An assertion counts as well, but one without a message would tell the reader nothing, so it is not caught.  An
    answer of a type that the test's own lines cannot use gets a sentence, too.  Under `python -O` there are no
    assertions: a test that has nothing else solves nothing.
    """
    check = Check()
    try:
        yield check
    except NotImplementedError:
        print(f"{number} not written yet: replace the line that raises NotImplementedError")
    except AssertionError as error:
        if not str(error):
            raise
        print(f"{number} not solved yet: {error}")
    except (TypeError, AttributeError, ValueError, RuntimeError) as error:  # torch has the last two for odd lists
        test = deepest = error.__traceback__.tb_next
        while deepest.tb_next is not None and not deepest.tb_next.tb_frame.f_code.co_filename.startswith(TORCH):
            deepest = deepest.tb_next
        if deepest.tb_frame.f_code.co_filename != test.tb_frame.f_code.co_filename:  # raised outside the test's cell
            raise
        print(f"{number} not solved yet, the test cannot use an answer of this type: {error}")
    else:
        unchecked = "not checked: `python -O` or PYTHONOPTIMIZE leaves all assertions out, start Python without them"
        print(f"{number} {'solved' if check.made or __debug__ else unchecked}")
