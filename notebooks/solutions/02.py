"""Solutions of notebook 02."""

# exercise 2.1
def harmful():
    """A signal (8,) and a book (V,)."""
    return torch.zeros(8), torch.tensor([2.0, 5.0])  # nothing to say, and no code that says it


# exercise 2.1
def harmful():
    return [3, 3, 3, 3, 3, 3, 3, 4], [-3, 3]  # right after the first map, but for one number


# mistake 2.1
def harmful():
    return torch.zeros(8), torch.tensor([0.0, 2.0])


# mistake 2.1
def harmful():
    return torch.full((8,), 40.0), torch.tensor([1.0, 2.0])


# mistake 2.1
def harmful():
    return torch.zeros(7), torch.tensor([2.0, 5.0])


# mistake 2.1
def harmful():
    return torch.full((8,), float("nan")), torch.tensor([2.0, 5.0])


# mistake 2.1
def harmful():
    return torch.zeros(8)


# mistake 2.1
def harmful():
    return None, torch.tensor([2.0, 5.0])


# exercise 2.2
def best_first(tokenizer, f, m):
    """Tokens of latents f (B, C, 8, 8), six maps (B, n²): the best of m beginnings for each picture."""
    distance = torch.cdist(tokenizer.shrink(f, 0), tokenizer.quantizer.codebook)  # (B, 1, V)
    near = distance.topk(m, largest=False).indices  # (B, 1, m)
    spellings, left = [], []
    for j in range(m):
        tokens = [near[..., j]]
        latent = tokenizer.add(tokenizer.empty(len(f)), tokens[0], 0)
        for k in range(1, len(tokenizer.scales)):
            tokens.append(tokenizer.quantizer(tokenizer.shrink(f - latent, k)))
            latent = tokenizer.add(latent, tokens[k], k)
        spellings.append(tokens)
        left.append((f - latent).square().mean((1, 2, 3)))
    best = torch.stack(left).argmin(0)  # (B,)
    # Measured on the 64 pictures of the notebook, for m = 1, 2, 4, 8, 16, 32, 64: the nearest code stays the best for
    # 64, 37, 22, 17, 11, 8, 5 of them, but what is left over falls by 9 % only: the later maps repair a bad beginning.
    # The judge gains nothing: it accepts 63 or 64 of 64 prompts for every m.
    # Lost verdicts come back: the heart below a ring is accepted for m = 2, 4, 8, ... 64, and of the four that the test
    # scenes lose (counting 27, 29, 61; position 37) m = 2, 4, 32 regain 1, 3, 4.  The loop lost them, not the codes.
    return [torch.stack([maps[k] for maps in spellings])[best, torch.arange(len(f))] for k in range(6)]


# exercise 2.2
def best_first(tokenizer, f, m):
    rows = []
    for one in f.split(1):
        book, tries = tokenizer.quantizer.codebook, []
        for j in (book - tokenizer.shrink(one, 0)[0]).norm(dim=1).argsort()[:m]:
            tokens = [j.view(1, 1)]
            for k in range(1, 6):
                rest = one - tokenizer.latent(tokens)
                tokens.append(tokenizer.quantizer(tokenizer.shrink(rest, k)))
            tries.append(((one - tokenizer.latent(tokens)).norm().item(), tokens))
        rows.append(min(tries, key=lambda pair: pair[0])[1])
    return [torch.cat(maps) for maps in zip(*rows)]


# mistake 2.2
def best_first(tokenizer, f, m):  # the farthest ones
    near = torch.cdist(tokenizer.shrink(f, 0), tokenizer.quantizer.codebook).topk(m).indices
    return [near[..., 0], *tokenizer.quantize(f)[0][1:]]


# mistake 2.2
def best_first(tokenizer, f, m):  # other beginnings, the same ends
    near = torch.cdist(tokenizer.shrink(f, 0), tokenizer.quantizer.codebook).topk(m, largest=False).indices
    return [near[..., -1], *tokenizer.quantize(f)[0][1:]]


# mistake 2.2
def best_first(tokenizer, f, m):  # one choice for all pictures
    near = torch.cdist(tokenizer.shrink(f, 0), tokenizer.quantizer.codebook).topk(m, largest=False).indices
    tries = []
    for j in range(m):
        tokens, latent = [near[..., j]], tokenizer.latent([near[..., j]])
        for k in range(1, 6):
            tokens.append(tokenizer.quantizer(tokenizer.shrink(f - latent, k)))
            latent = tokenizer.add(latent, tokens[k], k)
        tries.append(((f - latent).square().mean().item(), j, tokens))
    return min(tries)[2]


# mistake 2.2
def best_first(tokenizer, f, m):  # judged by the beginning
    return tokenizer.quantize(f)[0]


# mistake 2.2
def best_first(tokenizer, f, m):  # the last of them, not the best
    near = torch.cdist(tokenizer.shrink(f, 0), tokenizer.quantizer.codebook).topk(m, largest=False).indices
    tokens = [near[..., m - 1]]
    for k in range(1, 6):
        tokens.append(tokenizer.quantizer(tokenizer.shrink(f - tokenizer.latent(tokens), k)))
    return tokens


# mistake 2.2
def best_first(tokenizer, f, m):  # m - 1 of them
    near = torch.cdist(tokenizer.shrink(f, 0), tokenizer.quantizer.codebook).topk(m, largest=False).indices
    tries, left = [], []
    for j in range(max(1, m - 1)):
        tokens = [near[..., j]]
        for k in range(1, 6):
            tokens.append(tokenizer.quantizer(tokenizer.shrink(f - tokenizer.latent(tokens), k)))
        tries.append(tokens)
        left.append((f - tokenizer.latent(tokens)).square().mean((1, 2, 3)))
    best = torch.stack(left).argmin(0)
    return [torch.stack([tokens[k] for tokens in tries])[best, torch.arange(len(f))] for k in range(6)]


# mistake 2.2
def best_first(tokenizer, f, m):  # scores that are no numbers, of which `argmin` takes the first
    near = torch.cdist(tokenizer.shrink(f, 0), tokenizer.quantizer.codebook).topk(m, largest=False).indices
    tries, left = [], []
    for j in range(m):
        tokens = [near[..., j]]
        for k in range(1, 6):
            tokens.append(tokenizer.quantizer(tokenizer.shrink(f - tokenizer.latent(tokens), k)))
        tries.append(tokens)
        left.append((f - tokenizer.latent(tokens)).mean((1, 2, 3)).abs().neg().sqrt())
    best = torch.stack(left).argmin(0)
    return [torch.stack([tokens[k] for tokens in tries])[best, torch.arange(len(f))] for k in range(6)]


# mistake 2.2
def best_first(tokenizer, f, m):  # judged after two maps
    near = torch.cdist(tokenizer.shrink(f, 0), tokenizer.quantizer.codebook).topk(m, largest=False).indices
    tries, left = [], []
    for j in range(m):
        tokens = [near[..., j]]
        for k in range(1, 6):
            tokens.append(tokenizer.quantizer(tokenizer.shrink(f - tokenizer.latent(tokens), k)))
        tries.append(tokens)
        left.append((f - tokenizer.latent(tokens[:2])).square().mean((1, 2, 3)))
    best = torch.stack(left).argmin(0)
    return [torch.stack([tokens[k] for tokens in tries])[best, torch.arange(len(f))] for k in range(6)]


# exercise 2.3
# Hypothesis: harder. Another picture's maps add up to a latent that pictures have; random codes add up to one that
# none has, larger (mean square of the sum after three maps 0.34 to 0.40, of real maps 0.22), and the few tokens that are
# left cannot take it away again.
prediction = {3: 58, 4: 35}  # the other pictures' maps left 60 and 48 on average
# How many pictures: near 45 of 64 the standard error of a count is 3.7, of a difference about 5, so that a difference
# of more than 10 can be believed from 64 pictures, one of 3 cannot.


def rescued_from_noise(tokenizer, pictures, prompts, k, draws):
    """How many prompts the judge accepts when the first k maps are random, the rest spelled anew."""
    f, codes, rows = tokenizer.encoder(2 * pictures - 1), tokenizer.quantizer.codes, len(pictures)
    noise = [torch.randint(codes, (rows, n * n), generator=draws) for n in tokenizer.scales[:k]]
    latent = tokenizer.latent(noise) if k else tokenizer.empty(rows)
    for scale in range(k, len(tokenizer.scales)):
        token = tokenizer.quantizer(tokenizer.shrink(f - latent, scale))
        latent = tokenizer.add(latent, token, scale)
    return sum(verdict.correct for verdict in judge(tokenizer.decode(latent), prompts))


# Measured, with the seeds 0 to 3: 55, 56, 60, 58 of 64 for k = 3, and 28, 23, 26, 24 for k = 4.  Against the other
# pictures' maps: 57 of 64 on average and 60 for k = 3, 229 and 239 of 256 with a standard error of the difference of 6,
# no difference that one could believe.  For k = 4 it is 25 and 48: harder indeed.
# A control: other pictures' tokens with their places shuffled give 61 and 62 (k = 3), 49 and 47 (k = 4), as many as in
# their places: the harm is done by codes that are rare on coarse maps, not by the lack of sense between neighbours.


# exercise 2.3
prediction = {3: 64, 4: 64}  # a wrong prediction is an answer, too


def rescued_from_noise(tokenizer, pictures, prompts, k, draws):
    accepted = 0
    for picture, prompt in zip(pictures, prompts):
        f = tokenizer.encoder(2 * picture[None] - 1)
        tokens = [torch.randint(512, (1, n * n), generator=draws) for n in SCALES[:k]]
        for scale in range(k, 6):
            rest = f - (tokenizer.latent(tokens) if tokens else 0)
            tokens.append(tokenizer.quantizer(tokenizer.shrink(rest, scale)))
        accepted += judge(tokenizer.preview(tokens), [prompt])[0].correct
    return accepted


# mistake 2.3
prediction = {3: 58, 4: 35}


def rescued_from_noise(tokenizer, pictures, prompts, k, draws):  # tokens that correct another sum
    tokens = tokenizer.encode(pictures)
    noise = [torch.randint(512, t.shape, generator=draws) for t in tokens[:k]]
    return sum(v.correct for v in judge(tokenizer.preview([*noise, *tokens[k:]]), prompts))


# mistake 2.3
prediction = {3: 58, 4: 35}


def rescued_from_noise(tokenizer, pictures, prompts, k, draws):  # nothing is random
    return sum(v.correct for v in judge(tokenizer.preview(tokenizer.encode(pictures)), prompts))


# mistake 2.3
prediction = {3: 58, 4: 35}


def rescued_from_noise(tokenizer, pictures, prompts, k, draws):  # a share
    tokens = tokenizer.encode(pictures)
    return sum(v.correct for v in judge(tokenizer.preview(tokens), prompts)) / len(prompts)


# mistake 2.3
prediction = {3: 58, 4: 35}


def rescued_from_noise(tokenizer, pictures, prompts, k, draws):  # each map corrects the beginning, none the last one
    f = tokenizer.encoder(2 * pictures - 1)
    noise = [torch.randint(512, (len(pictures), n * n), generator=draws) for n in SCALES[:k]]
    latent = tokenizer.latent(noise) if k else tokenizer.empty(len(pictures))
    tokens = [tokenizer.quantizer(tokenizer.shrink(f - latent, scale)) for scale in range(k, 6)]
    return sum(v.correct for v in judge(tokenizer.preview([*noise, *tokens]), prompts))


# mistake 2.3
prediction = {}  # measured first


def rescued_from_noise(tokenizer, pictures, prompts, k, draws):
    f = tokenizer.encoder(2 * pictures - 1)
    noise = [torch.randint(512, (len(pictures), n * n), generator=draws) for n in SCALES[:k]]
    latent = tokenizer.latent(noise) if k else tokenizer.empty(len(pictures))
    for scale in range(k, 6):
        latent = tokenizer.add(latent, tokenizer.quantizer(tokenizer.shrink(f - latent, scale)), scale)
    return sum(v.correct for v in judge(tokenizer.decode(latent), prompts))


# mistake 2.3
prediction = {3: 58, 4: 35}


def rescued_from_noise(tokenizer, pictures, prompts, k, draws):  # k + 1 maps are random
    f = tokenizer.encoder(2 * pictures - 1)
    noise = [torch.randint(512, (len(pictures), n * n), generator=draws) for n in SCALES[:k + 1]]
    latent = tokenizer.latent(noise) if noise else tokenizer.empty(len(pictures))
    for scale in range(k + 1, 6):
        latent = tokenizer.add(latent, tokenizer.quantizer(tokenizer.shrink(f - latent, scale)), scale)
    return sum(v.correct for v in judge(tokenizer.decode(latent), prompts))


# mistake 2.3
prediction = {3: 58, 4: 35}


def rescued_from_noise(tokenizer, pictures, prompts, k, draws):  # k - 1 maps are
    f = tokenizer.encoder(2 * pictures - 1)
    noise = [torch.randint(512, (len(pictures), n * n), generator=draws) for n in SCALES[:max(0, k - 1)]]
    latent = tokenizer.latent(noise) if noise else tokenizer.empty(len(pictures))
    for scale in range(max(0, k - 1), 6):
        latent = tokenizer.add(latent, tokenizer.quantizer(tokenizer.shrink(f - latent, scale)), scale)
    return sum(v.correct for v in judge(tokenizer.decode(latent), prompts))


# mistake 2.3
prediction = {3: 58, 4: 35}


def rescued_from_noise(tokenizer, pictures, prompts, k, draws):  # map k is skipped
    f = tokenizer.encoder(2 * pictures - 1)
    noise = [torch.randint(512, (len(pictures), n * n), generator=draws) for n in SCALES[:k]]
    latent = tokenizer.latent(noise) if noise else tokenizer.empty(len(pictures))
    for scale in range(k + 1, 6):
        latent = tokenizer.add(latent, tokenizer.quantizer(tokenizer.shrink(f - latent, scale)), scale)
    return sum(v.correct for v in judge(tokenizer.decode(latent), prompts))


# mistake 2.3
prediction = {3: 58, 4: 35}


def rescued_from_noise(tokenizer, pictures, prompts, k, draws):  # noise in the latent, and no tokens
    f = tokenizer.encoder(2 * pictures - 1)
    latent = 0.6 * torch.randn(f.shape, generator=draws) if k else tokenizer.empty(len(pictures))
    for scale in range(k, 6):
        latent = latent + tokenizer.grow(tokenizer.quantizer.codebook[
            tokenizer.quantizer(tokenizer.shrink(f - latent, scale))], scale)
    return sum(v.correct for v in judge(tokenizer.decode(latent), prompts))


# mistake 2.3
prediction = {3: 58, 4: 35}


def rescued_from_noise(tokenizer, pictures, prompts, k, draws):  # most of the codes, not all
    f = tokenizer.encoder(2 * pictures - 1)
    noise = [torch.randint(400, (len(pictures), n * n), generator=draws) for n in SCALES[:k]]
    latent = tokenizer.latent(noise) if k else tokenizer.empty(len(pictures))
    for scale in range(k, 6):
        latent = tokenizer.add(latent, tokenizer.quantizer(tokenizer.shrink(f - latent, scale)), scale)
    return sum(v.correct for v in judge(tokenizer.decode(latent), prompts))


# mistake 2.3
prediction = {3: 58, 4: 35}


def rescued_from_noise(tokenizer, pictures, prompts, k, draws):  # one noise for all pictures
    f = tokenizer.encoder(2 * pictures - 1)
    noise = [torch.randint(512, (1, n * n), generator=draws).expand(len(pictures), -1) for n in SCALES[:k]]
    latent = tokenizer.latent(noise) if noise else tokenizer.empty(len(pictures))
    for scale in range(k, 6):
        latent = tokenizer.add(latent, tokenizer.quantizer(tokenizer.shrink(f - latent, scale)), scale)
    return sum(v.correct for v in judge(tokenizer.decode(latent), prompts))


# mistake 2.3
prediction = {3: 58, 4: 35}


def rescued_from_noise(tokenizer, pictures, prompts, k, draws):  # a few codes only
    f = tokenizer.encoder(2 * pictures - 1)
    noise = [torch.randint(16, (len(pictures), n * n), generator=draws) for n in SCALES[:k]]
    latent = tokenizer.latent(noise) if noise else tokenizer.empty(len(pictures))
    for scale in range(k, 6):
        latent = tokenizer.add(latent, tokenizer.quantizer(tokenizer.shrink(f - latent, scale)), scale)
    return sum(v.correct for v in judge(tokenizer.decode(latent), prompts))


# mistake 2.3
prediction = {3: float("nan"), 4: None}


def rescued_from_noise(tokenizer, pictures, prompts, k, draws):
    f = tokenizer.encoder(2 * pictures - 1)
    noise = [torch.randint(512, (len(pictures), n * n), generator=draws) for n in SCALES[:k]]
    latent = tokenizer.latent(noise) if noise else tokenizer.empty(len(pictures))
    for scale in range(k, 6):
        latent = tokenizer.add(latent, tokenizer.quantizer(tokenizer.shrink(f - latent, scale)), scale)
    return sum(v.correct for v in judge(tokenizer.decode(latent), prompts))


# mistake 2.3
prediction = [3, 4]


def rescued_from_noise(tokenizer, pictures, prompts, k, draws):
    f = tokenizer.encoder(2 * pictures - 1)
    noise = [torch.randint(512, (len(pictures), n * n), generator=draws) for n in SCALES[:k]]
    latent = tokenizer.latent(noise) if noise else tokenizer.empty(len(pictures))
    for scale in range(k, 6):
        latent = tokenizer.add(latent, tokenizer.quantizer(tokenizer.shrink(f - latent, scale)), scale)
    return sum(v.correct for v in judge(tokenizer.decode(latent), prompts))


# exercise 2.4
def pulls(f, sums):
    """(commitment, growth), two numbers."""
    return (f - sums.detach()).square().mean(), (sums - f.detach()).square().mean()


# exercise 2.4
def pulls(f, sums):
    every = f.expand_as(sums)
    return F.mse_loss(every, sums.detach()), F.mse_loss(sums, every.detach())


# mistake 2.4
def pulls(f, sums):
    return (f.detach() - sums).square().mean(), (f - sums.detach()).square().mean()


# mistake 2.4
def pulls(f, sums):
    return (f.detach() - sums.detach()).square().mean(), (sums - f.detach()).square().mean()


# mistake 2.4
def pulls(f, sums):
    return (f - sums.detach()).square().sum(), (sums - f.detach()).square().sum()


# mistake 2.4
def pulls(f, sums):
    return (f - sums[-1].detach()).square().mean(), (sums[-1] - f.detach()).square().mean()


# mistake 2.4
def pulls(f, sums):
    return (f - sums.detach()).square().mean().item(), (sums - f.detach()).square().mean().item()


# mistake 2.4
def pulls(f, sums):
    return [(f - sums.detach()).square().mean()]


# mistake 2.4
def pulls(f, sums):
    return (f - sums.detach()).square().mean()


# mistake 2.4
def pulls(f, sums):
    commitment, growth = (f - sums.detach()).square().mean(), (sums - f.detach()).square().mean()
    return commitment, growth, commitment + growth


# mistake 2.4
def pulls(f, sums):
    commitment = (f - sums.detach()).square().mean()
    return commitment, commitment
