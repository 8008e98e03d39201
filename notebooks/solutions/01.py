"""Solutions of notebook 01, each with the likely mistakes that its test refuses."""


# exercise 1.1
def crescent(x, y):
    """Signed distance to a crescent; x and y are tensors."""
    circle = torch.hypot(x, y) - 0.9
    bite = torch.hypot(x - 0.4, y) - 0.75
    return torch.maximum(circle, -bite)


# mistake 1.1
def crescent(x, y):
    return torch.maximum(torch.hypot(x, y) - 0.9, torch.hypot(x - 0.4, y) - 0.75)


# exercise 1.2
def counts_right(found, shape, n):
    """Whether exactly n of the found objects have this shape."""
    return sum(o.shape == shape for o in found) == n


# mistake 1.2
def counts_right(found, shape, n):
    return len(found) == n


# exercise 1.3
def share_novel():
    """The share of two-object prompts with at least one pairing of HELD_OUT_COLORS."""
    novel = [
        (s, c) in HELD_OUT_COLORS or (t, d) in HELD_OUT_COLORS
        for s, t in itertools.permutations(SHAPES, 2)
        for c, d in itertools.product(COLORS, repeat=2)
    ]
    return sum(novel) / len(novel)


# mistake 1.3
def share_novel():
    return len(HELD_OUT_COLORS) / 64


# exercise 1.4
def prompts_needed(reach):
    """The smallest even n whose interval at a rate of 1/2 is at most 1/2 - reach to 1/2 + reach."""
    n = 2
    while (wilson(n // 2, n)[1] - wilson(n // 2, n)[0]) / 2 > reach:
        n += 2
    return n


# mistake 1.4
def prompts_needed(reach):
    n = 2
    while wilson(n // 2, n)[1] - wilson(n // 2, n)[0] > reach:
        n += 2
    return n


# mistake 1.4
def prompts_needed(reach):
    n = 2
    while 1.96 * (0.25 / n) ** 0.5 > reach:
        n += 2
    return n


# exercise 1.5
def strictness(n, p):
    """The largest rate of false accepts that fools a search over n wrong pictures with probability p."""
    return 1 - (1 - p) ** (1 / n)


# mistake 1.5
def strictness(n, p):
    return p / n
