"""What the learned verifiers say about the pictures of curves.py: data/results/verifier_scores/MODEL-STAGE.safetensors.

    python benchmarks/verifier_scores.py --model nano --stage hard --n 512 --jobs 2

The same pictures are painted again, and scored by the reward model, the aesthetic head, the reasoner and the
generator's own likelihood; what the judge and both CLIPs say of them is kept in data/results/curves already.  `clip-
hard` scores them once more, so that pictures which came out otherwise (on another machine near-ties can fall otherwise)
are seen and counted.  benchmarks/verifiers.py makes the tables.
"""

import sys
import time

import numpy as np
from rounds import completed, options, painted
from safetensors import SafetensorError

from vartut.course.stored import stored
from vartut.paths import data_folder

VERIFIERS = ("clip-hard", "reward", "aesthetic", "vqa")
SAME = 1e-3  # two scores of one picture by `clip-hard` lie nearer than that


def shard(sampler, verifiers, prompt: str, seed: int, first: int) -> dict[str, np.ndarray]:
    """What is kept of a round: scores, (ROUND,) each, and the seconds of painting and of scoring."""
    began = time.perf_counter()
    state = painted(sampler, prompt, seed, first)
    images = sampler.preview(state)
    between = time.perf_counter()
    kept = {"likelihood": state.log_prob.float().cpu().numpy()}
    kept |= {name: verifier(images, prompt).float().cpu().numpy() for name, verifier in verifiers.items()}
    return kept | {"seconds": np.array([between - began, time.perf_counter() - between], np.float32)}


def otherwise(scores: np.ndarray, before: np.ndarray) -> float:
    """The share of pictures whose scores (P, N) by `clip-hard` are others than before, (P, M)."""
    both = min(scores.shape[1], before.shape[1])
    return float((np.abs(scores[:, :both] - before[:, :both]) > SAME).mean())


if __name__ == "__main__":
    chosen = options(__doc__, folder="runs/verifier_scores", n=64)
    store = data_folder() / "results" / "verifier_scores" / f"{chosen.model}-{chosen.stage}.safetensors"
    wanted = (chosen.model, chosen.stage, chosen.n, chosen.jobs, chosen.folder)
    try:
        judged = stored(chosen.model, chosen.stage, distinct=False)
        asked, kept, about = completed(store, *wanted, VERIFIERS, shard)
    except (KeyboardInterrupt, OSError, SafetensorError, ValueError) as error:  # no weights, or prompts too long
        sys.exit(f"verifier_scores: {error}")
    share = otherwise(kept["clip-hard"], judged.scores["clip-hard"])
    print(f"{kept['clip-hard'].shape[1]} pictures of each of {len(asked)} prompts; {share:.2%} came out otherwise")
