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


# mistake 0.2
def beam_nfe(width, candidates, K):
    return float("nan")


# mistake 0.2
def beam_nfe(width, candidates, K):
    return "315"


# mistake 0.2
def beam_nfe(width, candidates, K):
    return width * K * (K + 1) // 2


# mistake 0.2
def beam_nfe(width, candidates, K):
    return None


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


# mistake 0.3
def blurred_gain(K, best, error):
    return sum(best / r**0.5 for r in range(1, K + 1))


# mistake 0.3
def blurred_gain(K, best, error):
    return sum(best / (r + error**2) ** 0.5 for r in range(K))


# mistake 0.3
def blurred_gain(K, best, error):
    return sum(best / (r + 1 + error**2) ** 0.5 for r in range(1, K + 1))


# mistake 0.3
def blurred_gain(K, best, error):
    return sum(1 / (r + error**2) ** 0.5 for r in range(1, K + 1))


# mistake 0.3
def blurred_gain(K, best, error):
    return None


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


# mistake 0.4
def share_of_last(sides, last):
    return sum(n * n for n in sides[-last:])


# mistake 0.4
def share_of_last(sides, last):
    return sum(n * n for n in sides[-last:]) / sum(n * n for n in sides[:-last])


# mistake 0.4
def share_of_last(sides, last):
    return sum(n * n for n in sides[-last - 1 :]) / sum(n * n for n in sides)


# mistake 0.4
def share_of_last(sides, last):
    return [n * n for n in sides[-last:]]


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


# mistake 0.5
def best_of(n, scores, correct):
    return float("nan")


# mistake 0.5
def best_of(n, scores, correct):  # unsorted
    choices = sum(right * math.comb(worse, n - 1) for worse, right in enumerate(correct))
    return choices / math.comb(len(correct), n)


# mistake 0.5
def best_of(n, scores, correct):  # the mean of the n best
    ranked = sorted(zip(scores, correct))
    return sum(right for _, right in ranked[-n:]) / n


# mistake 0.5
def best_of(n, scores, correct):  # nearly, by drawing
    rng = np.random.default_rng(0)
    picks = [rng.permutation(len(scores))[:n] for _ in range(500)]
    return float(np.mean([correct[max(pick, key=lambda i: scores[i])] for pick in picks]))


# mistake 0.5
def best_of(n, scores, correct):  # not divided
    ranked = sorted(zip(scores, correct))
    return sum(right * math.comb(worse, n - 1) for worse, (_, right) in enumerate(ranked))


# mistake 0.5
def best_of(n, scores, correct):  # itself among the worse
    ranked = sorted(zip(scores, correct))
    choices = sum(right * math.comb(i + 1, n - 1) for i, (_, right) in enumerate(ranked))
    return choices / math.comb(len(ranked), n)


# exercise 0.6
FEW, MANY = 8, 64
PREDICTION = 15


def prompts_needed(differences):
    """The smallest number of prompts that tells the mean difference from zero."""
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# What we found on 2026-11-25, with the weights b6d5fbfb34af of tiny: 10 of 59 prompts get worse,
# and all together gain 0.0 points, -2.3 to 2.3. To tell so little from zero would take some 490,000
# prompts: the hypothesis is not shown, and a gain, if there is one, is small. From 1 to 8 pictures
# it is 18.5 points, for which a handful of prompts would do. Of the doublings, 4 to 8 is the last
# that 59 prompts can see (2.2 points, 0.8 to 3.7; 26 needed).


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


# mistake 0.6
FEW, MANY = 64, 8
PREDICTION = 10


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# mistake 0.6
FEW, MANY = 64, 512
PREDICTION = 10


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# mistake 0.6
FEW, MANY = 8, 8
PREDICTION = 10


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# mistake 0.6
FEW, MANY = 8, 64
PREDICTION = math.nan


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# mistake 0.6
FEW, MANY = 8, 64
PREDICTION = True


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# mistake 0.6
FEW, MANY = 8.5, 64
PREDICTION = 10


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# mistake 0.6
FEW, MANY = 8, 64
PREDICTION = "ten"


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1
