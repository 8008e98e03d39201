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
    return "a cyan heart and a red diamond"


# mistake 0.1
def caption():
    return "a heart below a diamond"


# mistake 0.1
def caption():
    return "a light blue heart below a red diamond"


# mistake 0.1
def caption():
    return ["cyan heart", "red diamond"]


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


# mistake 0.2
def beam_nfe(width, candidates, K):
    return width * candidates * K * (K - 1) // 2


# mistake 0.2
def beam_nfe(width, candidates, K):
    return candidates * K * (K + 1) // 2


# mistake 0.2
def beam_nfe(width, candidates, K):
    return width * candidates * K**2 / 2


# exercise 0.3
def blurred_gain(K, best, error):
    """The expected sum of greedy by rollouts, chosen by a verifier that errs."""
    return sum(best / (r + error**2) ** 0.5 for r in range(1, K + 1))


# mistake 0.3
def blurred_gain(K, best, error):
    return sum(best / (r + error) ** 0.5 for r in range(1, K + 1))


# mistake 0.3
def blurred_gain(K, best, error):
    return sum(best / (r + error**2) for r in range(1, K + 1))


# mistake 0.3
def blurred_gain(K, best, error):
    return sum(best * (r + error**2) ** 0.5 for r in range(1, K + 1))


# mistake 0.3
def blurred_gain(K, best, error):
    return K * best / (1 + error**2) ** 0.5


# mistake 0.3
def blurred_gain(K, best, error):
    return sum(best / (r + error**2) ** 0.5 for r in range(1, K))


# exercise 0.4
def share_of_last(sides, last):
    """The share of all tokens that the last scales hold, 0 to 1."""
    return sum(n * n for n in sides[-last:]) / sum(n * n for n in sides)


# mistake 0.4
def share_of_last(sides, last):
    return sum(sides[-last:]) / sum(sides)


# mistake 0.4
def share_of_last(sides, last):
    return sum(n * n for n in sides[:last]) / sum(n * n for n in sides)


# mistake 0.4
def share_of_last(sides, last):
    return 100 * sum(n * n for n in sides[-last:]) / sum(n * n for n in sides)


# mistake 0.4
def share_of_last(sides, last):
    return sides[-last] ** 2 / sum(n * n for n in sides)


# mistake 0.4
def share_of_last(sides, last):
    return float("nan")


# exercise 0.5
def best_of(n, scores, correct):
    """How often the best scored of n pictures is right, over all choices of n of these."""
    ranked = sorted(zip(scores, correct))  # worst first: as many are worse as stand before
    choices = sum(right * math.comb(worse, n - 1) for worse, (_, right) in enumerate(ranked))
    return choices / math.comb(len(ranked), n)


# mistake 0.5
def best_of(n, scores, correct):
    return sum(correct) / len(correct)


# mistake 0.5
def best_of(n, scores, correct):
    ranked = sorted(zip(scores, correct), reverse=True)
    choices = sum(right * math.comb(worse, n - 1) for worse, (_, right) in enumerate(ranked))
    return choices / math.comb(len(ranked), n)


# mistake 0.5
def best_of(n, scores, correct):
    ranked, many = sorted(zip(scores, correct)), len(correct)
    return sum(right * ((i + 1) ** n - i**n) for i, (_, right) in enumerate(ranked)) / many**n


# mistake 0.5
def best_of(n, scores, correct):
    ranked = sorted(zip(scores, correct))
    choices = sum(right * math.comb(i, n) for i, (_, right) in enumerate(ranked))
    return choices / math.comb(len(ranked), n)


# mistake 0.5
def best_of(n, scores, correct):
    first = list(zip(scores, correct))[:n]
    return max(first)[1]


# exercise 0.6
FEW, MANY = 8, 64
PREDICTION = 10


def prompts_needed(differences):
    """The smallest number of prompts that tells the mean difference from zero."""
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# What we found on 2026-11-25, with the weights 2e0b20fdeb52 of tiny: 2.8 points, -0.1 to 5.7.  Needed are 68 prompts,
# and there are 64: the hypothesis is likely, and not shown.  From 1 to 8 pictures it is 20 points, for which 3 prompts
# would do; of the doublings, 8 to 16 is the last that 64 prompts can see (1.4 points; 44 prompts needed).


# mistake 0.6
PREDICTION = 10


def prompts_needed(differences):
    return math.ceil((np.std(differences, ddof=1) / np.mean(differences)) ** 2)


# mistake 0.6
PREDICTION = 10


def prompts_needed(differences):
    return math.ceil((1.96 * np.std(differences) / np.mean(differences)) ** 2)


# mistake 0.6
PREDICTION = 10


def prompts_needed(differences):
    return int((1.96 * np.std(differences, ddof=1) / np.mean(differences)) ** 2)


# mistake 0.6
PREDICTION = 10


def prompts_needed(differences):
    return math.ceil(1.96 * np.std(differences, ddof=1) / np.mean(differences))


# mistake 0.6
FEW, MANY = 8, 64
PREDICTION = None


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1
