"""What the test cell of an exercise stands on.

    with exercise("2.1") as check:
        check(bits(scales) == 520, "count n * n tokens for a scale, not n")

prints `2.1 solved`, or `2.1 not solved yet: ...` with the message of the first claim that does not hold, so that a
notebook with its exercises still open runs from top to bottom.  Any other exception is the reader's own bug and stays
visible.
"""

import numbers
from collections.abc import Iterator
from contextlib import contextmanager


def number(answer) -> float | None:
    """The answer as a float if it is one number of any kind (Python's, NumPy's, a tensor of one element), else None."""
    if hasattr(answer, "item"):
        try:
            answer = answer.item()
        except (ValueError, RuntimeError):  # several elements, or none
            return None
    return float(answer) if isinstance(answer, numbers.Real) and not isinstance(answer, bool) else None


class Check:
    """Called with a claim and what to say where it does not hold; unlike `assert` it works under `python -O`, too."""

    def __init__(self):
        self.made = 0  # calls so far

    def __call__(self, claim, message: str) -> None:
        """Raise AssertionError with the message unless the claim holds."""
        self.made += 1
        if not claim:
            raise AssertionError(message)


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
    except (TypeError, AttributeError) as error:
        test = deepest = error.__traceback__.tb_next
        while deepest.tb_next is not None:
            deepest = deepest.tb_next
        if deepest.tb_frame.f_code.co_filename != test.tb_frame.f_code.co_filename:  # raised outside the test's cell
            raise
        print(f"{number} not solved yet, the test cannot use an answer of this type: {error}")
    else:
        unchecked = "not checked: `python -O` or PYTHONOPTIMIZE leaves all assertions out, start Python without them"
        print(f"{number} {'solved' if check.made or __debug__ else unchecked}")
