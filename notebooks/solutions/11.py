"""Solutions of notebook 11."""

# exercise 11.1
def beam_bytes(rows, width, candidates):
    """The most bytes that a beam remembers, one candidate rolled out at a time."""
    held = []
    for k in range(len(rows)):  # when the children of scale k wait for the choice
        # passes that siblings share, the pass that each child has run for itself, and what the one
        # in work adds on its way to the end
        prefixes = rows[0] + (width * sum(rows[1 : k + 1]) if k else 0)
        waiting = width * candidates * sum(rows[k + 1 : k + 2])
        held.append(prefixes + waiting + sum(rows[k + 2 :]))
    return max(held)


# Infinity-2B, all thirteen scales, with weights and working memory, at most 26.4, 30.5, 34.5 or
# 54.7 GiB for 1 x 15, 3 x 5, 5 x 3 or 15 x 1: by this count three of the four fit an A100. With 1.4
# times all that is not weights, as small beams of fifteen took at most, 1 x 15 alone fits; with
# twice none does. Nobody has tried. On a GPU this would measure 3 x 5, with random weights:
#     python benchmarks/published_speed.py --models infinity-2b --batches 1 --beams 3 \
#         --max-rows 1 --half-scales 0


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


# mistake 11.1
def beam_bytes(rows, width, candidates):  # the root once for each of its children
    held = []
    for k in range(len(rows)):
        prefixes = rows[0] + width * sum(rows[1:k]) if k else 0
        held.append(prefixes + width * candidates * rows[k] + sum(rows[k + 1 :]))
    return max(held)


# mistake 11.1
def beam_bytes(rows, width, candidates):
    return sum(rows)  # one picture


# mistake 11.1
def beam_bytes(rows, width, candidates):
    return float("nan")


# mistake 11.1
def beam_bytes(rows, width, candidates):
    return None
