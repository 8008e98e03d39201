"""Solutions of notebook 01, written in two ways, and likely mistakes that the tests refuse."""


# exercise 1.1
def crescent(x, y):
    """A crescent's field from two circles' distances, negative inside; x and y are tensors."""
    circle = torch.hypot(x, y) - 0.9
    bite = torch.hypot(x - 0.4, y) - 0.75
    return torch.maximum(circle, -bite)


# exercise 1.1
def crescent(x, y):
    inside = 0.9 - (x**2 + y**2) ** 0.5  # both positive inside the moon
    outside = ((x - 0.4) ** 2 + y**2) ** 0.5 - 0.75
    return -torch.where(inside < outside, inside, outside)


# mistake 1.1
def crescent(x, y):
    a, b = torch.hypot(x, y) - 0.9, torch.hypot(x - 0.4, y) - 0.75
    return torch.maximum(torch.minimum(a, b), -torch.maximum(a, b))  # in one, not in both


# mistake 1.1
def crescent(x, y):
    return torch.maximum(torch.hypot(x, y) - 0.9, torch.hypot(x - 0.4, y) - 0.75)


# mistake 1.1
def crescent(x, y):
    return (torch.hypot(x, y) < 0.9) & (torch.hypot(x - 0.4, y) > 0.75)


# mistake 1.1
def crescent(x, y):
    return torch.maximum(torch.hypot(x, y) - 0.9, 0.75 - torch.hypot(x + 0.4, y))


# mistake 1.1
def crescent(x, y):
    return (torch.hypot(x, y) - 0.9) - (torch.hypot(x - 0.4, y) - 0.75)


# mistake 1.1
def crescent(x, y):
    return torch.maximum((x**2 + y**2 - 0.81).sqrt(), 0.75 - torch.hypot(x - 0.4, y))


# mistake 1.1
def crescent(x, y):
    return torch.maximum(torch.hypot(x, y) - 0.9, 0.75 - torch.hypot(x - 0.4, y)).tolist()


# mistake 1.1
def crescent(x, y):
    return (torch.hypot(x, y) - 0.9) + (torch.hypot(x - 0.4, y) - 0.75)


# mistake 1.1
def crescent(x, y):
    return torch.maximum(0.9 - torch.hypot(x, y), torch.hypot(x - 0.4, y) - 0.75)


# mistake 1.1
def crescent(x, y):
    return torch.minimum(0.9 - torch.hypot(x, y), torch.hypot(x - 0.4, y) - 0.75)


# exercise 1.2
def count_facts(description):
    """How many things a prompt claims, without asking `description.facts`."""
    facts = len(description.relations)
    for group in description.groups:
        said = [group.shape, group.color, group.texture, group.size]
        facts += group.count * sum(word is not None for word in said)
        facts += group.count > 1
    return facts


# exercise 1.2
def count_facts(description):
    objects = [group for group in description.groups for _ in range(group.count)]
    words = [(o.shape, o.color, o.texture, o.size) for o in objects]
    numbers = [group for group in description.groups if group.count != 1]
    return sum(4 - four.count(None) for four in words) + len(numbers) + len(description.relations)


# mistake 1.2
def count_facts(description):
    facts = len(description.relations)
    for group in description.groups:
        said = [group.shape, group.color, group.texture, group.size]
        facts += sum(word is not None for word in said) + (group.count > 1)
    return facts


# mistake 1.2
def count_facts(description):
    facts = len(description.relations)
    for group in description.groups:
        said = [group.shape, group.color, group.texture, group.size]
        facts += group.count * sum(word is not None for word in said)
    return facts


# mistake 1.2
def count_facts(description):
    facts = 0
    for group in description.groups:
        said = [group.shape, group.color, group.texture, group.size]
        facts += group.count * sum(word is not None for word in said) + (group.count > 1)
    return facts


# mistake 1.2
def count_facts(description):
    facts = len(description.relations)
    for group in description.groups:
        said = [group.shape, group.color, group.texture, group.size]
        facts += group.count * sum(word is not None for word in said) + 1
    return facts


# mistake 1.2
def count_facts(description):
    facts = len(description.relations)
    for group in description.groups:
        facts += group.count * (1 + (group.color is not None) + (group.texture is not None)) + (group.count > 1)
    return facts


# mistake 1.2
def count_facts(description):
    return [group.shape for group in description.groups]


# mistake 1.2
def count_facts(description):
    return description.facts


# exercise 1.3
def most_facts(description, found):
    """The most facts about objects and places that hold at once; every group is of one object."""
    groups, best = description.groups, 0
    nobody = [None] * len(groups)
    for cast in itertools.permutations([*found, *nobody], len(groups)):
        facts = sum(sum(_facts(group, o)) for group, o in zip(groups, cast) if o)
        for i, relation, j in description.relations:
            facts += bool(cast[i] and cast[j] and stands(cast[i], cast[j], relation))
        best = max(best, facts)
    return best


# exercise 1.3
def most_facts(description, found):
    def best_from(cast):  # the roles before these are cast
        role = len(cast)
        if role == len(description.groups):
            pairs = [(cast[i], r, cast[j]) for i, r, j in description.relations]
            return sum(None not in (a, b) and stands(found[a], found[b], r) for a, r, b in pairs)
        choices = [best_from([*cast, None])]
        for i in set(range(len(found))) - set(cast):
            choices.append(sum(_facts(description.groups[role], found[i])) + best_from([*cast, i]))
        return max(choices)

    return best_from([])


# mistake 1.3
def most_facts(description, found):
    best = 0
    for cast in itertools.product(found, repeat=len(description.groups)):
        facts = sum(sum(_facts(group, o)) for group, o in zip(description.groups, cast))
        facts += sum(stands(cast[i], cast[j], r) for i, r, j in description.relations)
        best = max(best, facts)
    return best


# mistake 1.3
def most_facts(description, found):
    best = 0
    for cast in itertools.permutations(found, len(description.groups)):
        facts = sum(sum(_facts(group, o)) for group, o in zip(description.groups, cast))
        facts += sum(stands(cast[i], cast[j], r) for i, r, j in description.relations)
        best = max(best, facts)
    return best


# mistake 1.3
def most_facts(description, found):
    left, cast = list(found), []
    for group in description.groups:
        cast.append(max(left, key=lambda o: sum(_facts(group, o)), default=None))
        left = [o for o in left if o is not cast[-1]]
    facts = sum(sum(_facts(group, o)) for group, o in zip(description.groups, cast) if o)
    return facts + sum(bool(cast[i] and cast[j] and stands(cast[i], cast[j], r)) for i, r, j in description.relations)


# mistake 1.3
def most_facts(description, found):
    groups, seats = description.groups, [*found, *[None] * len(description.groups)]
    casts = itertools.permutations(seats, len(groups))
    return max(sum(sum(_facts(g, o)) for g, o in zip(groups, cast) if o) for cast in casts)


# mistake 1.3
def most_facts(description, found):
    groups, best = description.groups, 0
    for cast in itertools.permutations([*found, *[None] * len(groups)], len(groups)):
        facts = sum(all(_facts(group, o)) for group, o in zip(groups, cast) if o)
        facts += sum(bool(cast[i] and cast[j] and stands(cast[i], cast[j], r)) for i, r, j in description.relations)
        best = max(best, facts)
    return best


# mistake 1.3
def most_facts(description, found):
    groups, best = description.groups, 0
    for cast in itertools.permutations([*found, *[None] * len(groups)], len(groups)):
        facts = sum(sum(_facts(group, o)) for group, o in zip(groups, cast) if o)
        facts += sum(bool(cast[i] and cast[j] and stands(cast[j], cast[i], r)) for i, r, j in description.relations)
        best = max(best, facts)
    return best


# mistake 1.3
def most_facts(description, found):
    groups, best = description.groups, 0
    for cast in itertools.permutations([*found, None], len(groups)):
        facts = sum(sum(_facts(group, o)) for group, o in zip(groups, cast) if o)
        facts += sum(bool(cast[i] and cast[j] and stands(cast[i], cast[j], r)) for i, r, j in description.relations)
        best = max(best, facts)
    return best


# mistake 1.3
def most_facts(description, found):
    groups, best = description.groups, 0
    for cast in itertools.permutations([*found, *[None] * len(groups)], len(groups)):
        facts = sum(sum(_facts(group, o)) for group, o in zip(groups, cast) if o)
        for i, r, j in description.relations:
            facts += cast[i] is None or cast[j] is None or bool(stands(cast[i], cast[j], r))
        best = max(best, facts)
    return best


# mistake 1.3
def most_facts(description, found):
    return list(found)


# exercise 1.4
def prompts_needed(reach):
    """The smallest even n whose interval at a rate of 1/2 is at most 1/2 - reach to 1/2 + reach."""
    n = 2
    while (wilson(n // 2, n)[1] - wilson(n // 2, n)[0]) / 2 > reach:
        n += 2
    return n


# exercise 1.4
def prompts_needed(reach):
    return next(n for n in itertools.count(2, 2) if wilson(n // 2, n)[1] <= 0.5 + reach)


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


# mistake 1.4
def prompts_needed(reach):
    return next(n for n in itertools.count(1) if wilson(n // 2, n)[1] <= 0.5 + reach)


# mistake 1.4
def prompts_needed(reach):
    n = 10
    while wilson(n // 2, n)[1] > 0.5 + reach:
        n += 10
    return n


# mistake 1.4
def prompts_needed(reach):
    k = 1
    while wilson(k, 2 * k)[1] > 0.5 + reach:
        k += 1
    return k


# mistake 1.4
def prompts_needed(reach):
    return wilson(47, 94)


# mistake 1.4
def prompts_needed(reach):
    return 94


# exercise 1.5
def share_fooled(accepted, n):
    """The share of prompts (rows) for which one of the first n pictures or more is accepted."""
    return accepted[:, :n].any(axis=1).mean()


# What we measured.  Hypothesis: the judge's mistakes are luck, the same for every false prompt.
# Prediction: the share of prompts that fool it follows 1 - (1 - rate)^n, with the rate of all
# pictures together.  Measured, 48 false prompts: pooled rate 8 %.
#
#     n          1     4    16    64
#     formula  0.08  0.30  0.76  1.00
#     measured 0.08  0.19  0.25  0.29
#
# Wilson's interval of the last, 14 of 48, is 0.18 to 0.43, so 48 prompts are plenty: the
# hypothesis falls.  All 24 "one more" prompts withstood 64 tearings, and so did 10 of the 24 "one
# fewer"; 10 others were accepted 20 to 30 times of 64.  The mistakes sit on a few prompts.
# With each prompt's own rate the formula gives 0.19, 0.25, 0.29, as it must: the tearings of one
# prompt are independent draws.
# Half of this was to be expected: tearing hides objects, it hardly adds any.  Among the 24 "one
# fewer" alone: formula 1.00, measured 0.58.  And both halves share 24 scenes, so 48 are not
# independent.  The formula with one rate for all is an upper bound (Jensen's inequality).
def experiment(pictures=64, reach=1):
    from dataclasses import replace

    rng, rows = np.random.default_rng(0), {-1: [], 1: []}
    scenes = world.sample("counting", 60, "test", seed=7)
    scenes = [s for s in scenes if world.parse(s.prompt).groups[0].count in (3, 4)][:24]
    for scene, clean in zip(scenes, render(scenes).numpy()):
        batch = np.stack([torn(clean, reach, rng) for _ in range(pictures)])
        seen = find(torch.from_numpy(batch))
        (group,) = world.parse(scene.prompt).groups
        for more, row in rows.items():
            false = world.describe(Description((replace(group, count=group.count + more),)))
            row.append([world.verdict(found, false).correct for found in seen])
    return np.array(rows[-1] + rows[1])  # (48, pictures)


# exercise 1.5
def share_fooled(accepted, n):
    hits = [sum(bool(a) for a in row[:n]) > 0 for row in accepted]
    return sum(hits) / len(hits)


# exercise 1.5
def share_fooled(accepted, n):
    return torch.as_tensor(accepted)[:, :n].any(dim=1).float().mean()


# mistake 1.5
def share_fooled(accepted, n):
    return 1 - (1 - accepted.mean()) ** n


# mistake 1.5
def share_fooled(accepted, n):
    return accepted[:, :n].any(axis=0).mean()


# mistake 1.5
def share_fooled(accepted, n):
    return accepted[:, :n].all(axis=1).mean()


# mistake 1.5
def share_fooled(accepted, n):
    return accepted[:, :n].mean()


# mistake 1.5
def share_fooled(accepted, n):
    return accepted.any(axis=1).mean()


# mistake 1.5
def share_fooled(accepted, n):
    return accepted[:, :n].any(axis=1)


# mistake 1.5
def share_fooled(accepted, n):
    return accepted[:, n - 1].mean()


# mistake 1.5
def share_fooled(accepted, n):
    return accepted[:, : n - 1].any(axis=1).mean()


# mistake 1.5
def share_fooled(accepted, n):
    return accepted[:n].any(axis=1).mean()


# mistake 1.5
def share_fooled(accepted, n):
    return accepted[:, :n].any(axis=1).sum()


# mistake 1.5
def share_fooled(accepted, n):
    return 100 * accepted[:, :n].any(axis=1).mean()


# mistake 1.5
def share_fooled(accepted, n):
    return (1 - (1 - accepted.mean(axis=1)) ** n).mean()
