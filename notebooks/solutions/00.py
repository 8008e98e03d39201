"""Solutions of notebook 00, each with the likely mistakes that its test refuses."""


# exercise 0.1
def caption():
    """A prompt that is true of the riddle."""
    return "a cyan heart below a red diamond"


# mistake 0.1
def caption():
    return "a red heart below a cyan diamond"


# mistake 0.1
def caption():
    return "a heart and a diamond"


# exercise 0.2
def beam_nfe(width, candidates, K):
    """NFE of a beam search with rollouts, as the paper counts."""
    return width * candidates * K * (K + 1) // 2


# mistake 0.2
def beam_nfe(width, candidates, K):
    return (width + candidates) * K * (K + 1) // 2


# mistake 0.2
def beam_nfe(width, candidates, K):
    return width * candidates * K


# exercise 0.3
def fair_pictures(nfe, K):
    """How many complete pictures random search can draw for so many NFE."""
    return nfe // K


# mistake 0.3
def fair_pictures(nfe, K):
    return round(nfe / K)


# mistake 0.3
def fair_pictures(nfe, K):
    return 2 * nfe // (K + 1)


# exercise 0.4
def share_of_last(sides, last):
    """The share of all tokens that the last scales hold, 0 to 1."""
    return sum(n * n for n in sides[-last:]) / sum(n * n for n in sides)


# mistake 0.4
def share_of_last(sides, last):
    return sum(sides[-last:]) / sum(sides)
