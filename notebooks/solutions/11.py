"""Solutions of notebook 11."""

# exercise 11.1
def beam_bytes(rows, width, candidates):
    """The most bytes that a beam remembers, one candidate rolled out at a time."""
    held = []
    for k in range(len(rows)):  # when the children of scale k wait for the choice
        prefixes = rows[0] + (width * sum(rows[1 : k + 1]) if k else 0)  # passes that siblings share
        waiting = width * candidates * sum(rows[k + 1 : k + 2])  # the pass that each child has run for itself
        held.append(prefixes + waiting + sum(rows[k + 2 :]))  # and what the one in work adds on its way to the end
    return max(held)


# Infinity-2B, all thirteen scales, with weights and working memory, at most 26.4, 30.5, 34.5 or 54.7 GiB for
# 1 x 15, 3 x 5, 5 x 3 or 15 x 1: by this count three of the four fit an A100.  With twice all that is
# not weights none does.  Nobody has tried.


# mistake 11.1
def beam_bytes(rows, width, candidates):
    return rows[0] + width * candidates * sum(rows[1:])  # as if siblings shared nothing


# mistake 11.1
def beam_bytes(rows, width, candidates):
    return rows[0] + width * sum(rows[1:])  # the survivors alone


# mistake 11.1
def beam_bytes(rows, width, candidates):
    held = []
    for k in range(len(rows)):
        prefixes = rows[0] + (width * sum(rows[1 : k + 1]) if k else 0)
        held.append(prefixes + width * candidates * sum(rows[k + 1 : k + 2]))  # none is rolled out
    return max(held)


# mistake 11.1
def beam_bytes(rows, width, candidates):
    held = []
    for k in range(len(rows)):
        prefixes = width * sum(rows[: k + 1])  # the root's pass once for each prefix
        held.append(prefixes + width * candidates * sum(rows[k + 1 : k + 2]) + sum(rows[k + 2 :]))
    return max(held)


# mistake 11.1
def beam_bytes(rows, width, candidates):
    k = len(rows) - 1  # the last choice, where siblings share everything
    return rows[0] + width * sum(rows[1 : k + 1])
