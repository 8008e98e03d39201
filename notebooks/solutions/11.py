"""Solutions of notebook 11."""

# exercise 11.1
def beam_bytes(passes, width, candidates):
    """The most bytes that a beam remembers, one candidate rolled out at a time."""
    held = []
    for k in range(len(passes)):  # when the children of scale k wait for the choice
        # passes that siblings share (behind the root's, none at k = 0), the pass that each child has
        # run for itself, and what the one in work adds on its way to the end
        prefixes = passes[0] + width * sum(passes[1 : k + 1])
        waiting = width * candidates * sum(passes[k + 1 : k + 2])
        held.append(prefixes + waiting + sum(passes[k + 2 :]))
    return max(held)


# Infinity-2B, all thirteen scales, with weights and working memory, at most 26.4, 30.5, 34.5 or
# 54.7 GiB for 1 x 15, 3 x 5, 5 x 3 or 15 x 1: by this count three of the four fit an A100. With
# working memory 2.3 times as computed, the most that was measured, 1 x 15 and 3 x 5 do; 5 x 3 takes
# 38.4 of the 38.5 that we allow, and PyTorch has been seen to find 39.5 of such a card's 40
# (docs/published.md, section 2), so count it as not fitting. With all that is not weights twice,
# none fits. 3 x 5 bears caches of 1.35 times the computed, or 1.18 times with working memory at 2.3.
# As 3 x 5 it holds most at k = 10. The verifier is not in this: CLIP's 1.6 GiB leave
# 3 x 5, at 36.0 with working memory 2.3 times; LLaVA-OneVision-7B's 15.3 GB (at second hand,
# data/paper) leave none, 40.7 at least. Nobody has tried. On a GPU this would measure 3 x 5, with
# random weights:
#     python benchmarks/published_speed.py --models infinity-2b --batches 1 --beams 3 \
#         --max-rows 1 --half-scales 0


# mistake 11.1
def beam_bytes(passes, width, candidates):
    return passes[0] + width * candidates * sum(passes[1:])  # as if siblings shared nothing


# mistake 11.1
def beam_bytes(passes, width, candidates):
    return passes[0] + width * sum(passes[1:])  # the survivors alone


# mistake 11.1
def beam_bytes(passes, width, candidates):
    held = []
    for k in range(len(passes)):
        prefixes = passes[0] + width * sum(passes[1 : k + 1])
        held.append(prefixes + width * candidates * sum(passes[k + 1 : k + 2]))  # none is rolled out
    return max(held)


# mistake 11.1
def beam_bytes(passes, width, candidates):
    held = []
    for k in range(len(passes)):
        prefixes = width * sum(passes[: k + 1])  # the root's pass once for each prefix
        held.append(prefixes + width * candidates * sum(passes[k + 1 : k + 2]) + sum(passes[k + 2 :]))
    return max(held)


# mistake 11.1
def beam_bytes(passes, width, candidates):
    k = len(passes) - 1  # the last choice, where siblings share everything
    return passes[0] + width * sum(passes[1 : k + 1])


# mistake 11.1
def beam_bytes(passes, width, candidates):  # the root once for each of its children
    held = []
    for k in range(len(passes)):
        prefixes = passes[0] + width * sum(passes[1:k]) if k else 0
        held.append(prefixes + width * candidates * passes[k] + sum(passes[k + 1 :]))
    return max(held)


# mistake 11.1
def beam_bytes(passes, width, candidates):
    return sum(passes)  # one picture


# mistake 11.1
def beam_bytes(passes, width, candidates):
    return float("nan")


# mistake 11.1
def beam_bytes(passes, width, candidates):
    return None


# mistake 11.1
def beam_bytes(passes, width, candidates):
    held = []
    for k in range(len(passes)):
        children = width * candidates if k else candidates  # of the root, too few
        waiting = children * sum(passes[k + 1 : k + 2])
        held.append(passes[0] + width * sum(passes[1 : k + 1]) + waiting + sum(passes[k + 2 :]))
    return max(held)


# mistake 11.1
def beam_bytes(passes, width, candidates):
    held = []
    for k in range(len(passes)):
        waiting = width * candidates * sum(passes[k + 1 : k + 2])
        held.append(passes[0] + width * sum(passes[1 : k + 1]) + waiting + sum(passes[k + 2 :]))
    return sum(held)  # as if all choices were made at once


# mistake 11.1
def beam_bytes(passes, width, candidates):
    held = []
    for k in range(len(passes)):
        waiting = width * candidates * sum(passes[k + 1 : k + 2])
        held.append(passes[0] + width * sum(passes[1:k]) + waiting + sum(passes[k + 2 :]))  # one pass too few
    return max(held)


# mistake 11.1
def beam_bytes(passes, width, candidates):
    return passes[0] + width * candidates * passes[1] + sum(passes[2:])  # the first choice, as drawn


# mistake 11.1
def beam_bytes(passes, width, candidates):
    held = []
    for k in range(len(passes)):
        waiting = width * candidates * sum(passes[k + 1 : k + 2])
        held.append(passes[0] + width * sum(passes[1 : k + 1]) + waiting + sum(passes[k + 1 :]))  # its own twice
    return max(held)


# mistake 11.1
def beam_bytes(passes, width, candidates):
    held = []
    for k in range(len(passes)):  # the survivors' passes as if they were one prefix
        held.append(sum(passes[: k + 1]) + width * candidates * sum(passes[k + 1 : k + 2]) + sum(passes[k + 2 :]))
    return max(held)


# mistake 11.1
def beam_bytes(passes, width, candidates):
    held = []
    for k in range(len(passes)):  # no prefix behind the root
        held.append(passes[0] + width * candidates * sum(passes[k + 1 : k + 2]) + sum(passes[k + 2 :]))
    return max(held)
