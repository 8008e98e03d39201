"""Solutions of notebook 05."""

# exercise 5.1
def answer_score(sure):
    """Scores (B,) of answer sheets (B, Q) of probabilities."""
    return sure.clamp(min=1e-6).log().mean(1)


# exercise 5.1
def answer_score(sure):
    return torch.stack([sum(p.clamp(min=1e-6).log() for p in row) / len(row) for row in sure])


# mistake 5.1
def answer_score(sure):
    return sure.mean(1).log()


# mistake 5.1
def answer_score(sure):
    return sure.log().mean(1)


# mistake 5.1
def answer_score(sure):
    return sure.clamp(min=1e-6).log().sum(1)


# mistake 5.1
def answer_score(sure):
    return sure.clamp(min=1e-6).log().mean()


# mistake 5.1
def answer_score(sure):
    return -sure.clamp(min=1e-6).log().mean(1)


# exercise 5.2
def affordable(budget, paint, cheap, dear, finalists):
    """How many pictures, painted, looked at, the best of them looked at again, a budget buys."""
    all_dear = int(budget // (paint + cheap + dear))
    return all_dear if all_dear < finalists else int((budget - finalists * dear) // (paint + cheap))


# exercise 5.2
def affordable(budget, paint, cheap, dear, finalists):
    n = 0
    while (n + 1) * (paint + cheap) + min(n + 1, finalists) * dear <= budget:
        n += 1
    return n


# mistake 5.2
def affordable(budget, paint, cheap, dear, finalists):
    return budget // (paint + cheap)


# mistake 5.2
def affordable(budget, paint, cheap, dear, finalists):
    return (budget - dear) // (paint + cheap)


# mistake 5.2
def affordable(budget, paint, cheap, dear, finalists):
    return (budget - finalists * dear) // (paint + cheap)


# mistake 5.2
def affordable(budget, paint, cheap, dear, finalists):
    return (budget - finalists * dear) / (paint + cheap)


# mistake 5.2
def affordable(budget, paint, cheap, dear, finalists):
    return max(0, (budget - finalists * dear) // (paint + cheap))


# exercise 5.3
FINALISTS = 8
PREDICTION = 2


def sieve(cheap, dear, finalists):
    """The place of the picture that the dear one prefers among the finalists of the cheap one."""
    best = np.argsort(-cheap, kind="stable")[:finalists]
    return int(best[dear[best].argmax()])


# exercise 5.3
FINALISTS = 16
PREDICTION = 0.5


def sieve(cheap, dear, finalists):
    ranked = sorted(range(len(cheap)), key=lambda i: -cheap[i])
    return max(ranked[:finalists], key=lambda i: dear[i])


# mistake 5.3
FINALISTS, PREDICTION = 8, 2


def sieve(cheap, dear, finalists):
    best = np.argsort(-cheap)[:finalists]
    return int(dear[best].argmax())


# mistake 5.3
FINALISTS, PREDICTION = 8, 2


def sieve(cheap, dear, finalists):
    best = np.argsort(cheap)[:finalists]
    return int(best[dear[best].argmax()])


# mistake 5.3
FINALISTS, PREDICTION = 8, 2


def sieve(cheap, dear, finalists):
    best = np.argsort(-cheap)[: finalists + 1]
    return int(best[dear[best].argmax()])


# mistake 5.3
FINALISTS, PREDICTION = 8, 2


def sieve(cheap, dear, finalists):
    return int(dear.argmax())


# mistake 5.3
FINALISTS, PREDICTION = 8, None


def sieve(cheap, dear, finalists):
    best = np.argsort(-cheap)[:finalists]
    return int(best[dear[best].argmax()])


# exercise 5.4
def shout(scores):
    """Rising in the scores, and no straight line."""
    return scores.exp()


# exercise 5.4
def shout(scores):
    return scores**9 / 1000


# mistake 5.4
def shout(scores):
    return 100 * scores


# mistake 5.4
def shout(scores):
    return -scores


# mistake 5.4
def shout(scores):
    return (scores > 7).float()


# mistake 5.4
def shout(scores):
    return (1000 * scores).exp()


# mistake 5.4
def shout(scores):
    return scores + scores**2
