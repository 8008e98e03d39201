"""`vartut demo`: one prompt painted without search and with beam search, the tree of the search, what it cost."""

import io
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from PIL import Image
from torch.nn import functional as F

from .. import hub, world
from ..inputs import as_pictures
from ..measure.evaluate import paint, root_seeds
from ..paths import write_files
from ..search import beam_search
from ..world import judge
from .plots import draw_tree


def save_picture(pictures: torch.Tensor, path: Path, zoom: int = 4) -> Path:
    """Write pictures (B, 3, H, W) in [0, 1], or in any other form, side by side as a PNG, a pixel `zoom` pixels wide.

    Raises ValueError for what is no picture, OSError where the file cannot be written.
    """
    pictures = as_pictures(pictures, "save_picture")
    row = F.pad(pictures, (0, 2, 0, 0), value=1.0).permute(1, 2, 0, 3).flatten(2)[:, :, :-2]  # (3, H, B (W + 2) - 2)
    large = row.repeat_interleave(zoom, 1).repeat_interleave(zoom, 2)
    content = io.BytesIO()
    Image.fromarray((large * 255).round().byte().permute(1, 2, 0).numpy()).save(content, format="png")
    write_files({Path(path): content.getvalue()})
    return path


def save_tree(found, path: Path) -> Path:
    """Write the figure of a search's tree as a PNG."""
    figure, content = draw_tree(found), io.BytesIO()
    figure.savefig(content, dpi=120, format="png")
    plt.close(figure)
    write_files({path: content.getvalue()})
    return path


def run(prompt: str, seed: int, out: Path) -> None:
    """Paint `prompt` both ways into the folder `out` and print where everything is."""
    world.parse(prompt)
    out.mkdir(parents=True, exist_ok=True)
    sampler, verifier = hub.load("tiny"), hub.load_verifier("clip-hard")
    began = time.perf_counter()
    plain = paint(sampler, [prompt], root_seeds([seed]))  # the first picture that the search sees
    middle = time.perf_counter()
    found = beam_search(sampler, prompt, verifier, width=3, candidates=5, seed=seed, keep_images=True)
    took = time.perf_counter() - middle
    searched = found.image[None].cpu()
    without, with_search = judge(torch.cat([plain, searched]), [prompt] * 2)
    write_files({out / "ledger.txt": f"{found.ledger}\n"})
    print(f'"{prompt}"')
    print(f"  without search  {save_picture(plain, out / 'plain.png')}  ({middle - began:.1f} s)")
    print(f"    the judge: {without.reason}")
    print(f"  beam search     {save_picture(searched, out / 'searched.png')}  ({took:.1f} s)")
    print(f"    the judge: {with_search.reason}")
    print(f"  search tree     {save_tree(found, out / 'tree.png')}")
    print(f"  ledger          {out / 'ledger.txt'}")
    print(found.ledger)
