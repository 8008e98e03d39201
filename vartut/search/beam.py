"""Random search, greedy token optimisation and beam search (arXiv 2510.16751), each on its own page.

    result = beam_search(sampler, "a red circle left of a blue square", verifier, width=3, candidates=5)
    result.image, result.score, result.tree, result.ledger

All three are written against the protocol of `models/protocol.py` alone and never ask what a step is.

- To roll out is to finish a picture by the children numbered 0.  So the child 0 of a state that a rollout has passed is
  the rollout itself, whose picture is scored already: new children of such a state are numbered from 1.  Its next
  forward pass has run in the rollout too and is remembered, so that branching there costs no pass.
- The best finished picture ever seen is kept, and returned even where the search has moved on to prefixes whose later
  pictures are worse.  Only new children compete for a place in the beam, as in the paper.
- Of equal scores the earlier picture wins, in the order of the children's numbers.  Scores are equal that agree to five
  digits: coarse previews are often of the same tokens, and then the rounding of the last digits must not decide.
- Work goes depth-first through at most `max_rows` rows at a time.  That bounds the memory and changes no result,
  beyond what the sampler says of near-ties.
- `enough` ends a search at the first finished picture, in the order of the children, that scores so high.
- Costs arise in the ledger's phases "prefix" (steps before the first branching or between two), "branch", "rollout",
  "preview" and "score" (of unfinished pictures), and "verify" (of finished ones).
"""

from ..inputs import each, whole
from .run import Run, branching, choose, scoring, top
from .tree import SearchResult

MOST = 4096  # the most children of one step, width x candidates: all wait in memory for the choice


def random_search(
    sampler, prompt, verifier, n=16, seed=0, max_rows=32, ledger=None, keep_images=False, enough=None
) -> SearchResult:
    """Draw n complete pictures, keep the one that the verifier scores best.

    The paper: n complete images, n K NFE.  Here the children of the root share its pass: 1 + n (K - 1).

    `sampler` speaks the protocol of `models/protocol.py`; `verifier(images (B, 3, H, W) in [0, 1], prompts)` returns
    (B,) scores, higher is better.  The first n of 2n pictures are the n, and those of a beam's first step.
    `keep_images` keeps a small copy of each scored picture in the tree.  Raises ValueError, in a line, for bad input.
    """
    n = whole(least=1, n=n)
    with Run("random", sampler, prompt, verifier, seed, max_rows, ledger, keep_images, enough) as run:
        for children in run.branch([run.root], n, first=0):
            run.enter(children, [0] * len(children), run.finish(children))
    run.tree.keep([run.tree.best])
    return run.result()


def greedy_search(
    sampler, prompt, verifier, candidates=15, seed=0, max_rows=32, ledger=None, keep_images=False, enough=None
) -> SearchResult:
    """Greedy token optimisation: commit one step after the other.

    The paper: at each scale, c complete continuations of the current prefix; commit the tokens of this scale that led
    to the best finished image.  c K (K + 1) / 2 NFE; here, with nothing run twice, 1 + c K (K - 1) / 2.

    It is the beam of width 1.  Arguments and errors as for `random_search`.
    """
    run = (seed, max_rows, ledger, keep_images, enough)
    return _search("greedy", sampler, prompt, verifier, 1, candidates, "rollout", None, *run)


def beam_search(
    sampler, prompt, verifier, width=3, candidates=5, score="rollout", branch=None, seed=0, max_rows=32, ledger=None,
    keep_images=False, enough=None,
) -> SearchResult:  # fmt: skip
    """Keep the `width` best prefixes, branch each into `candidates` children.

    The paper: w prefixes, c continuations of each, every one rolled out to a complete image and scored; keep the w
    prefixes whose finished images scored best.  K w c images and w c K (K + 1) / 2 NFE; here, with nothing run twice,
    1 + w c K (K - 1) / 2.  The first step has one prefix, the root, and so w c children of it.

    score says how children are compared: "rollout", as above; "preview", the verifier's score of the picture so far;
    or a callable (sampler, state) -> (B,), higher is better.  The latter two roll nothing out, and need 1 + w (K - 1)
    passes; what is finished is always scored by the verifier: the last step's children, or the last survivors.
    branch names the steps to branch at, among `sampler.branch_steps` (default: all).  Steps left out draw one child;
    with rollouts these are the rollout's own states, so that a survivor goes on from what was scored.
    width and candidates are one number, or one for each step of `branch`: after the first width[0] stay of width[0] x
    candidates[0], after the next width[1] of width[0] x candidates[1].  Their products are at most 4096.  Other
    arguments and errors as for `random_search`.
    """
    run = (seed, max_rows, ledger, keep_images, enough)
    return _search("beam", sampler, prompt, verifier, width, candidates, score, branch, *run)


def _search(name, sampler, prompt, verifier, width, candidates, score, branch, *run) -> SearchResult:
    how, steps = scoring(score), branching(sampler, branch)
    widths, candidates = each(len(steps), least=1, width=width), each(len(steps), least=1, candidates=candidates)
    children = [widths[0] * candidates[0], *candidates[1:]]  # of each prefix, at each step
    if (most := max(number * rows for number, rows in zip(children, [1, *widths]))) > MOST:
        raise ValueError(f"width x candidates is {most}, more than {MOST}: take fewer, or random_search")
    with Run(name, sampler, prompt, verifier, *run) as run:
        beam, nodes, first = run.advance([run.root], steps[0]), [0], 0
        for following, number, width in zip([*steps[1:], None], children, widths):
            parents = [node for node in nodes for _ in range(number)]
            scores, states, nodes = [], [], []
            for born in run.branch(beam, number, first):
                look = run.score(born, how, pause=following)
                nodes += run.enter(born, parents[len(nodes) :][: len(born)], look)
                scores += look.scores
                states.append(look.states)
            kept = top(scores, width)
            beam, nodes = choose(sampler, states, kept), [nodes[row] for row in kept]
            run.tree.keep(nodes)
            beam = run.advance(beam, following)  # after rollouts nothing is left to do: they passed there
            first = int(how == "rollout")
        if run.found is None:  # nothing is finished yet: no rollouts, and the last steps were not branched
            for survivors in beam:
                [pictures] = run.advance([survivors], sampler.num_steps, phase="rollout")
                parents, nodes = nodes[: len(pictures)], nodes[len(pictures) :]
                run.tree.keep(run.enter(pictures, parents, run.finish(pictures)))
    return run.result()
