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


# mistake 0.2
def beam_nfe(width, candidates, K):  # what ran
    return 1 + width * candidates * K * (K - 1) // 2


# mistake 0.2
def beam_nfe(width, candidates, K):  # not halved
    return width * candidates * K * (K + 1)


# mistake 0.2
def beam_nfe(width, candidates, K):  # a first step with fewer children
    return candidates * K + width * candidates * K * (K - 1) // 2


# mistake 0.2
def beam_nfe(width, candidates, K):  # one child a step
    return K * (K + 1) // 2


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


# mistake 0.3
def blurred_gain(K, best, error):  # an error a step
    return sum(best / (r + r * error**2) ** 0.5 for r in range(1, K + 1))


# exercise 0.4
def best_of(n, scores, correct):
    """How often the best scored of n pictures is right, over all choices of n of these."""
    ranked = sorted(zip(scores, correct))  # worst first: as many are worse as stand before
    choices = sum(right * math.comb(worse, n - 1) for worse, (_, right) in enumerate(ranked))
    return choices / math.comb(len(ranked), n)


# mistake 0.4
def best_of(n, scores, correct):
    hits = np.array(correct)[np.argsort(scores)]
    return sum(h * math.comb(w, n - 1) for w, h in enumerate(hits)) / math.comb(len(hits), n)


# mistake 0.4
def best_of(n, scores, correct):
    return sum(correct) / len(correct)


# mistake 0.4
def best_of(n, scores, correct):
    ranked = sorted(zip(scores, correct), reverse=True)
    choices = sum(right * math.comb(worse, n - 1) for worse, (_, right) in enumerate(ranked))
    return choices / math.comb(len(ranked), n)


# mistake 0.4
def best_of(n, scores, correct):
    ranked, many = sorted(zip(scores, correct)), len(correct)
    return sum(right * ((i + 1) ** n - i**n) for i, (_, right) in enumerate(ranked)) / many**n


# mistake 0.4
def best_of(n, scores, correct):
    ranked = sorted(zip(scores, correct))
    choices = sum(right * math.comb(i, n) for i, (_, right) in enumerate(ranked))
    return choices / math.comb(len(ranked), n)


# mistake 0.4
def best_of(n, scores, correct):
    first = list(zip(scores, correct))[:n]
    return max(first)[1]


# mistake 0.4
def best_of(n, scores, correct):
    return float("nan")


# mistake 0.4
def best_of(n, scores, correct):  # unsorted
    choices = sum(right * math.comb(worse, n - 1) for worse, right in enumerate(correct))
    return choices / math.comb(len(correct), n)


# mistake 0.4
def best_of(n, scores, correct):  # the mean of the n best
    ranked = sorted(zip(scores, correct))
    return sum(right for _, right in ranked[-n:]) / n


# mistake 0.4
def best_of(n, scores, correct):  # nearly, by drawing
    rng = np.random.default_rng(0)
    picks = [rng.permutation(len(scores))[:n] for _ in range(500)]
    return float(np.mean([correct[max(pick, key=lambda i: scores[i])] for pick in picks]))


# mistake 0.4
def best_of(n, scores, correct):  # not divided
    ranked = sorted(zip(scores, correct))
    return sum(right * math.comb(worse, n - 1) for worse, (_, right) in enumerate(ranked))


# mistake 0.4
def best_of(n, scores, correct):  # itself among the worse
    ranked = sorted(zip(scores, correct))
    choices = sum(right * math.comb(i + 1, n - 1) for i, (_, right) in enumerate(ranked))
    return choices / math.comb(len(ranked), n)


# exercise 0.5
FEW, MANY, CHOOSER = 32, 128, "clip"
PREDICTION = 15


def prompts_needed(differences):
    """The smallest number of prompts that tells the mean difference from zero."""
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# What we found, with the weights b6d5fbfb34af of tiny. First with 256 pictures a prompt: 8 of 59
# prompts got worse, and all together lost 2.9 points (0.1 to 5.8): zero outside by a hair, for a
# pair of sizes that we chose after seeing others. A hint. Then with 1,024 pictures of the same
# prompts: 15 get worse, all together lose 1.0 points (-0.8 to 2.8); 195 prompts are needed, and
# there are 59. The hint was luck. By clip-hard the same step changes -0.9 (-2.4 to 0.6); of its
# doublings 4 to 8 is the last that 59 prompts see (2.0, 0.5 to 3.5; 33 needed).


# mistake 0.5
PREDICTION = 10


def prompts_needed(differences):
    return math.ceil((np.std(differences, ddof=1) / np.mean(differences)) ** 2)


# mistake 0.5
PREDICTION = 10


def prompts_needed(differences):
    return math.ceil((1.96 * np.std(differences) / np.mean(differences)) ** 2)


# mistake 0.5
PREDICTION = 10


def prompts_needed(differences):
    return int((1.96 * np.std(differences, ddof=1) / np.mean(differences)) ** 2)


# mistake 0.5
PREDICTION = 10


def prompts_needed(differences):
    return math.ceil(1.96 * np.std(differences, ddof=1) / np.mean(differences))


# mistake 0.5
FEW, MANY, CHOOSER = 8, 64, "clip"
PREDICTION = None


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# mistake 0.5
FEW, MANY, CHOOSER = 64, 8, "clip"
PREDICTION = 10


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# mistake 0.5
FEW, MANY, CHOOSER = 64, 4096, "clip"
PREDICTION = 10


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# mistake 0.5
FEW, MANY, CHOOSER = 8, 8, "clip"
PREDICTION = 10


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# mistake 0.5
FEW, MANY, CHOOSER = 8, 64, "clip"
PREDICTION = math.nan


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# mistake 0.5
FEW, MANY, CHOOSER = 8, 64, "clip"
PREDICTION = True


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# mistake 0.5
FEW, MANY, CHOOSER = 8.5, 64, "clip"
PREDICTION = 10


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# mistake 0.5
FEW, MANY, CHOOSER = 8, 64, "clip"
PREDICTION = "ten"


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# mistake 0.5
FEW, MANY, CHOOSER = 8, 64, "clip"
PREDICTION = -70


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# mistake 0.5
FEW, MANY, CHOOSER = 8, 64, "clip-soft"
PREDICTION = 10


def prompts_needed(differences):
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    return math.inf if mean == 0 else math.floor((1.96 * spread / mean) ** 2) + 1


# mistake 0.5
PREDICTION = 10


def prompts_needed(differences):
    return math.ceil(1.96 * (np.std(differences, ddof=1) / np.mean(differences)) ** 2)
