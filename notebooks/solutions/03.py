"""Solutions of notebook 03."""

# exercise 3.1
def torn(q, m, T=1.0):
    """The probability that m tokens do not all have the same colour."""
    red, blue = q ** (1 / T), (1 - q) ** (1 / T)
    q = red / (red + blue)
    return 1 - q**m - (1 - q) ** m


# exercise 3.1
def torn(q, m, T=1.0):
    sharp = (torch.tensor([q, 1 - q]).double().log() / T).softmax(0)
    return 1 - sharp.pow(m).sum()


# exercise 3.1
def torn(q, m, T=1.0):
    import math

    red, blue = math.log(q) / T, math.log(1 - q) / T
    both = math.log(math.exp(red) + math.exp(blue))
    return 1 - math.exp(m * (red - both)) - math.exp(m * (blue - both))


# exercise 3.1
def torn(q, m, T=1.0):
    q = 1 / (1 + ((1 - q) / q) ** (1 / T))  # by odds
    return 1 - q**m - (1 - q) ** m


# mistake 3.1
def torn(q, m, T=1.0):
    q = q ** (1 / T)  # not rescaled
    return 1 - q**m - (1 - q) ** m


# mistake 3.1
def torn(q, m, T=1.0):
    return 1 - q**m - (1 - q) ** m


# mistake 3.1
def torn(q, m, T=1.0):
    q = q**T / (q**T + (1 - q) ** T)
    return 1 - q**m - (1 - q) ** m


# mistake 3.1
def torn(q, m, T=1.0):
    q = q ** (1 / T) / (q ** (1 / T) + (1 - q) ** (1 / T))
    return 2 * q * (1 - q)


# mistake 3.1
def torn(q, m, T=1.0):
    q = q ** (1 / T) / (q ** (1 / T) + (1 - q) ** (1 / T))
    return 1 - q ** (m - 1) - (1 - q) ** (m - 1)


# mistake 3.1
def torn(q, m, T=1.0):
    return float("nan")


# mistake 3.1
def torn(q, m, T=1.0):
    return 2 * q * (1 - q)  # of two tokens


# mistake 3.1
def torn(q, m, T=1.0):
    q = q ** (1 / T) / (q ** (1 / T) + (1 - q) ** (1 / T))
    return q**m + (1 - q) ** m  # to be whole


# mistake 3.1
def torn(q, m, T=1.0):
    return torch.tensor([q, 1 - q])


# mistake 3.1
def torn(q, m, T=1.0):
    return "27 %"


# exercise 3.2
def round_mask(words, rounds):
    """(N, N) bool, N = words + len(rounds): True where the row's place may see the column's."""
    rounds = torch.tensor([min(rounds) - 1] * words + list(rounds))  # the words come first
    return rounds[:, None] >= rounds[None, :]


# exercise 3.2
def round_mask(words, rounds):
    size = words + len(rounds)
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[:, :words] = True
    for i, mine in enumerate(rounds):
        for j, other in enumerate(rounds):
            mask[words + i, words + j] = other <= mine
    return mask


# mistake 3.2
def round_mask(words, rounds):
    rounds = torch.tensor([-1] * words + list(rounds))
    return rounds[:, None] > rounds[None, :]  # nobody sees its own round


# mistake 3.2
def round_mask(words, rounds):
    rounds = torch.tensor([0] * words + list(rounds))  # words in the first round of tokens
    return rounds[:, None] >= rounds[None, :]


# mistake 3.2
def round_mask(words, rounds):
    return block_causal_mask([words] + [rounds.count(r) for r in sorted(set(rounds))])  # sorted by round


# mistake 3.2
def round_mask(words, rounds):
    rounds = torch.tensor([-1] * words + list(rounds))
    return rounds[:, None] <= rounds[None, :]  # the wrong way round


# mistake 3.2
def round_mask(words, rounds):
    rounds = torch.tensor([-1] * words + list(rounds))
    return (rounds[:, None] >= rounds[None, :]).float()


# exercise 3.3
def verdict(read, tokens):
    """"sound", "leaks" or "blind"."""
    before, sees = read(tokens), []
    for j in range(6):  # which inputs change with map j?
        changed = [(t + 1) % 512 if k == j else t for k, t in enumerate(tokens)]
        sees.append([not torch.equal(a, b) for a, b in zip(before, read(changed))])
    if any(sees[j][k - 1] for j in range(6) for k in range(1, 6) if j >= k):
        return "leaks"
    return "sound" if all(sees[j][k - 1] for j in range(6) for k in range(1, 6) if j < k) else "blind"


# exercise 3.3
def verdict(read, tokens):
    def changes(maps, k):
        other = [511 - t if i in maps else t for i, t in enumerate(tokens)]
        return (read(other)[k - 1] != read(tokens)[k - 1]).any()

    if any(changes(range(k, 6), k) for k in range(1, 6)):  # its own map and all finer ones at once
        return "leaks"
    return "sound" if all(changes([j], k) for k in range(1, 6) for j in range(k)) else "blind"


# mistake 3.3
def verdict(read, tokens):
    before = read(tokens)
    for k in range(1, 6):  # never asks what is seen
        changed = [(t + 1) % 512 if i >= k else t for i, t in enumerate(tokens)]
        if not torch.equal(before[k - 1], read(changed)[k - 1]):
            return "leaks"
    return "sound"


# mistake 3.3
def verdict(read, tokens):
    before, sees = read(tokens), []
    for j in range(6):
        changed = [(t + 1) % 512 if k == j else t for k, t in enumerate(tokens)]
        sees.append([not torch.allclose(a, b, atol=1e-2) for a, b in zip(before, read(changed))])
    if any(sees[j][k - 1] for j in range(6) for k in range(1, 6) if j >= k):
        return "leaks"
    return "sound" if all(sees[j][k - 1] for j in range(6) for k in range(1, 6) if j < k) else "blind"


# mistake 3.3
def verdict(read, tokens):
    before, sees = read(tokens), []
    for j in range(6):
        changed = [(t + 1) % 512 if k == j else t for k, t in enumerate(tokens)]
        sees.append([not torch.equal(a, b) for a, b in zip(before, read(changed))])
    if any(sees[k][k - 1] for k in range(1, 6)):  # the own map alone, no finer one
        return "leaks"
    return "sound" if all(sees[j][k - 1] for j in range(6) for k in range(1, 6) if j < k) else "blind"


# mistake 3.3
def verdict(read, tokens):
    before, sees = read(tokens), []
    for j in range(6):
        changed = [(t + 1) % 512 if k == j else t for k, t in enumerate(tokens)]
        sees.append([not torch.equal(a, b) for a, b in zip(before, read(changed))])
    if not all(sees[k - 1][k - 1] for k in range(1, 6)):  # only the map before is asked for
        return "blind"
    return "leaks" if any(sees[j][k - 1] for j in range(6) for k in range(1, 6) if j >= k) else "sound"


# mistake 3.3
def verdict(read, tokens):
    changed = [*tokens[:5], (tokens[5] + 1) % 512]
    same = torch.equal(read(tokens)[4], read(changed)[4])  # the last input alone
    return "sound" if same else "leaks"


# mistake 3.3
def verdict(read, tokens):
    before, sees = read(tokens), []
    for j in range(6):
        tokens[j].add_(1).remainder_(512)  # in place, and never undone
        sees.append([not torch.equal(a, b) for a, b in zip(before, read(tokens))])
    return "leaks" if any(sees[j][k - 1] for j in range(6) for k in range(1, 6) if j >= k) else "sound"


# mistake 3.3
def verdict(read, tokens):
    before = read(tokens)
    for k in range(1, 6):
        changed = [t + 1 if i >= k else t for i, t in enumerate(tokens)]  # 511 becomes 512
        if not torch.equal(before[k - 1], read(changed)[k - 1]):
            return "leaks"
    return "sound"


# mistake 3.3
def verdict(read, tokens):
    before, sees = read(tokens), []
    for j in range(6):
        changed = [(t + 1) % 512 if k == j else t for k, t in enumerate(tokens)]
        sees.append([not torch.equal(a, b) for a, b in zip(before, read(changed))])
    if any(sees[j][k] for j in range(6) for k in range(5) if j >= k):  # inputs[0] is not read by map 0
        return "leaks"
    return "sound" if all(sees[j][k] for j in range(6) for k in range(5) if j <= k) else "blind"


# mistake 3.3
def verdict(read, tokens):
    before, sees = read(tokens), []
    for j in range(6):
        changed = [t * 0 if k == j else t for k, t in enumerate(tokens)]  # no change where all is 0
        sees.append([not torch.equal(a, b) for a, b in zip(before, read(changed))])
    if any(sees[j][k - 1] for j in range(6) for k in range(1, 6) if j >= k):
        return "leaks"
    return "sound" if all(sees[j][k - 1] for j in range(6) for k in range(1, 6) if j < k) else "blind"


# mistake 3.3
def verdict(read, tokens):
    return True


# exercise 3.4
def our_guidance(cfg, K):
    """g at scales 0 to K - 1, for VAR's cfg; K is at least 2."""
    return [1 + cfg * k / (K - 1) for k in range(K)]  # (1 + t) c - t u = u + (1 + t) (c - u)


# exercise 3.4
def our_guidance(cfg, K):
    return torch.linspace(1, 1 + cfg, K)


# mistake 3.4
def our_guidance(cfg, K):
    return [1 + cfg * k / K for k in range(K)]


# mistake 3.4
def our_guidance(cfg, K):
    return [1 - cfg * k / (K - 1) for k in range(K)]  # the sign


# mistake 3.4
def our_guidance(cfg, K):
    return [1 + cfg] * K


# mistake 3.4
def our_guidance(cfg, K):
    return [1 + cfg * (k + 1) / K for k in range(K)]


# mistake 3.4
def our_guidance(cfg, K):
    return [(1 + cfg) ** (k / (K - 1)) for k in range(K)]


# mistake 3.4
def our_guidance(cfg, K):
    return [1 + cfg * k / (K - 1) for k in range(1, K)]


# mistake 3.4
def our_guidance(cfg, K):
    return [1 + cfg * (K - 1 - k) / (K - 1) for k in range(K)]


# mistake 3.4
def our_guidance(cfg, K):
    return [float("nan")] * K


# mistake 3.4
def our_guidance(cfg, K):
    return ["1 + t"] * K


# exercise 3.5
# Hypothesis: reversed is worse. Cold first maps choose the likeliest composition, be it wrong, and hot last maps tear.
prediction = 60  # of 100
needed = 126  # 4 (0.25 * 0.75 + 0.15 * 0.85) / 0.1²


def counts(sampler, prompts, seeds):
    """How many prompts come right as shipped, and with the temperatures reversed."""
    reverse = sampler.tuned(temperature=sampler.temperature[::-1])
    right = []
    for one in (sampler, reverse):
        verdicts = judge(paint(one, prompts, seeds), prompts)
        right.append(sum(v.correct for v in verdicts))
    return tuple(right)


# Measured, on 800 prompts (the first 100 of each short task, one seed each): 220 as shipped, 218 reversed. The same
# prompts and seeds, so pair them: they disagree on 142, the difference is 0.3 points, its 95 % interval, continuity corrected, -2.8 to 3.3.
# The prediction is refuted: 99 of 100, not 60. That reversed is worse is not shown: up to 3.3 points worse, or 2.8
# better, remain possible. The order does change which pictures come right.
# One prompt tells nothing, however many seeds: 24 of "a triangle" give 15 as shipped and 24 reversed. What rising
# temperatures do change is how much pictures differ: in data/results/dials.csv ("T rising" beside "g = 2") four
# pictures of a prompt differ by 16 % instead of 20; the best of four is right for 40 % and 47, too near to tell.


# exercise 3.5
prediction, needed = 95.0, 126.0


def counts(sampler, prompts, seeds):
    settings = sampler.temperature, list(reversed(sampler.temperature))
    images = [paint(sampler.tuned(temperature=t), prompts, seeds) for t in settings]
    return [sum(v.correct for v in judge(pictures, prompts)) for pictures in images]


# exercise 3.5
prediction, needed = np.int64(110), torch.tensor(126)


def counts(sampler, prompts, seeds):
    def right(one):
        return sum(v.correct for v in judge(paint(one, prompts, seeds), prompts))

    return np.array([right(sampler), right(sampler.tuned(temperature=sampler.temperature[::-1]))])


# mistake 3.5
prediction, needed = 60, 126


def counts(sampler, prompts, seeds):
    first = sum(v.correct for v in judge(paint(sampler, prompts, seeds), prompts))
    sampler._set(temperature=sampler.temperature[::-1])  # changes the sampler that was given
    second = sum(v.correct for v in judge(paint(sampler, prompts, seeds), prompts))
    return first, second


# mistake 3.5
prediction, needed = 60, 126


def counts(sampler, prompts, seeds):
    other = sampler.tuned(temperature=0.1)  # cold throughout
    return [sum(v.correct for v in judge(paint(s, prompts, seeds), prompts)) for s in (sampler, other)]


# mistake 3.5
prediction, needed = 60, 126


def counts(sampler, prompts, seeds):
    other = sampler.tuned(temperature=sampler.temperature[::-1])
    return [sum(v.correct for v in judge(paint(s, prompts, seeds), prompts)) / len(prompts) for s in (sampler, other)]


# mistake 3.5
prediction, needed = None, 126  # measured first


def counts(sampler, prompts, seeds):
    other = sampler.tuned(temperature=sampler.temperature[::-1])
    return [sum(v.correct for v in judge(paint(s, prompts, seeds), prompts)) for s in (sampler, other)]


# mistake 3.5
prediction, needed = 60, 63  # only one of the rates has a variance


def counts(sampler, prompts, seeds):
    other = sampler.tuned(temperature=sampler.temperature[::-1])
    return [sum(v.correct for v in judge(paint(s, prompts, seeds), prompts)) for s in (sampler, other)]


# mistake 3.5
prediction, needed = 60, 126


def counts(sampler, prompts, seeds):
    first = sum(v.correct for v in judge(paint(sampler, prompts, seeds), prompts))
    sampler.temperature.reverse()  # the sampler that was given
    return first, sum(v.correct for v in judge(paint(sampler, prompts, seeds), prompts))


# mistake 3.5
prediction, needed = 60, 126


def counts(sampler, prompts, seeds):
    first = sum(v.correct for v in judge(paint(nano, prompts, seeds), prompts))
    nano.temperature.reverse()  # everybody's nano
    return first, sum(v.correct for v in judge(paint(nano, prompts, seeds), prompts))


# mistake 3.5
prediction, needed, counts = 0.6, 126, None  # a share


# mistake 3.5
prediction, needed, counts = 1000, 126, None


# mistake 3.5
prediction, needed, counts = 60, float("nan"), None
