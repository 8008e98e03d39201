"""Does the judge agree with the eye?  200 pictures of a tiny, labelled blind: data/results/judge_by_eye.csv.

    python benchmarks/judge_by_eye.py                     the verdicts anew, pictures and labels as they are
    python benchmarks/judge_by_eye.py --paint             200 new pictures by the tiny that ships: label them, then
    python benchmarks/judge_by_eye.py --sheets FOLDER     ten sheets of 20 numbered pictures with prompts, to label
    python benchmarks/judge_by_eye.py --pictures FOLDER   the twelve pictures that notebook 01 shows, as NUMBER.png
    python benchmarks/judge_by_eye.py --labels FILE       the labels (number,label,note) beside the judge's verdicts

Labels belong to pictures and not to weights, so the pictures are kept, all 200 in data/results/judge_by_eye/all.png:
another tiny, or another judge, leaves them as they are.  The table names the weights that painted them.

The pictures are plain samples, without search, of the first 25 test prompts of each of the eight short tasks, prompts
and noise from the seed 2026.  Who labels sees picture and prompt alone, in a shuffled order, and follows this rule (the
labels that ship were given by one vision-language model that looked at the enlarged pictures, and by no person):

- right: a careful person, asked "does it show this?", would say yes without hesitation.  Every described object is one
  clean, recognisable object of that shape and of the colour, texture and size that are named, it stands as asked, and
  where a number word stands there are exactly so many.  A further object does not matter, except to a number;
- wrong: the same person would say no without hesitation;
- cannot say: a described shape is torn, half-formed, between two shapes or merged with another, or something is so much
  on the border that careful people would disagree.
"""

import argparse
import csv
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tables import read_rows, replace_rows, stamp

import vartut
from vartut import weights, world
from vartut.course.demo import save_picture
from vartut.measure.evaluate import paint
from vartut.models.protocol import row_seed
from vartut.paths import data_folder, expanded

TABLE = data_folder() / "results" / "judge_by_eye.csv"
PICTURES = data_folder() / "results" / "judge_by_eye" / "all.png"
SEED, EACH, COLUMNS = 2026, 25, 20
LABELS = ("right", "wrong", "cannot say")
SHOWN = (71, 115, 121, 124, 8, 44, 81, 53, 61, 68, 47, 26)  # refused though right, accepted though doubtful, wrong


def asked_for() -> list[tuple[str, int, str]]:
    """Task, index and prompt of all 200; a picture's number is its place here."""
    tasks = {task: world.prompts(task, EACH, "test", SEED) for task in world.SHORT_TASKS}
    return [(task, i, prompt) for task, prompts in tasks.items() for i, prompt in enumerate(prompts)]


def draw_pictures() -> None:
    """Paint all 200 by the tiny that ships and keep them, 20 a row, with the name of the weights."""
    seeds = [row_seed(SEED, f"{task}/{i}") for task, i, _ in asked_for()]
    images = paint(vartut.load("tiny"), [prompt for *_, prompt in asked_for()], seeds)
    rows = [torch.cat(list(row), 2) for row in images.split(COLUMNS)]  # (3, 64, 20 * 64) each
    content = (torch.cat(rows, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    about = PngInfo()
    about.add_text("weights", weights.read_provenance("tiny")["sha256"][:12])
    Image.fromarray(content).save(PICTURES, pnginfo=about)


def pictures() -> tuple[list[tuple[str, int, str, torch.Tensor]], str]:
    """What is asked for, each with its picture (3, 64, 64) in [0, 1]; and the weights that painted them."""
    with Image.open(PICTURES) as kept:
        content, made_by = torch.from_numpy(np.array(kept)).permute(2, 0, 1) / 255, kept.text["weights"]
    images = [image for row in content.split(64, 1) for image in row.split(64, 2)]
    return [(*asked, image) for asked, image in zip(asked_for(), images, strict=True)], made_by


def draw_sheets(folder: Path) -> None:
    """Write the sheets, in an order that tells nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    shown, _ = pictures()
    order = torch.randperm(len(shown), generator=torch.Generator().manual_seed(1)).tolist()
    for sheet in range(10):
        figure, axes = plt.subplots(4, 5, figsize=(12, 11))
        for ax, number in zip(axes.flat, order[20 * sheet : 20 * sheet + 20]):
            _, _, prompt, image = shown[number]
            ax.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")
            ax.set_axis_off()
            ax.set_title(f"#{number}\n" + "\n".join(textwrap.wrap(prompt, 26)), fontsize=10)
        figure.tight_layout()
        figure.savefig(folder / f"sheet{sheet}.png", dpi=80)
        plt.close(figure)


def read_labels(path: Path) -> dict[int, dict]:
    """Labels by number; raises ValueError unless each of the 200 has one of the three."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        found = {int(row["number"]): row for row in csv.DictReader(file)}
    if sorted(found) != list(range(200)) or any(row["label"] not in LABELS for row in found.values()):
        raise ValueError(f"{path}: one line for each of the numbers 0 to 199, its label one of {', '.join(LABELS)}")
    return found


def main():
    """Draw the sheets, or write the table."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--paint", action="store_true")
    reader.add_argument("--sheets", type=expanded)
    reader.add_argument("--pictures", type=expanded)
    reader.add_argument("--labels", type=expanded)
    asked = reader.parse_args()
    if asked.paint:
        draw_pictures()
        return
    if asked.pictures:
        asked.pictures.mkdir(parents=True, exist_ok=True)
        shown, _ = pictures()
        for number in SHOWN:
            save_picture(shown[number][-1], asked.pictures / f"{number:03}.png", zoom=1)
        return
    if asked.sheets:
        draw_sheets(asked.sheets)
        return
    labels = read_labels(asked.labels) if asked.labels else dict(enumerate(read_rows(TABLE)))
    (shown, made_by), rows = pictures(), []
    made = {"weights": made_by, "seed": SEED, **stamp()}
    verdicts = vartut.judge(torch.stack([image for *_, image in shown]), [prompt for _, _, prompt, _ in shown])
    for number, ((task, index, prompt, _), said) in enumerate(zip(shown, verdicts)):
        row = {"number": number, "task": task, "index": index, "prompt": prompt, "label": labels[number]["label"]}
        row |= {"note": labels[number]["note"], "judge": "right" if said.correct else "wrong"}
        rows.append(row | {"grade": round(said.grade, 3), "judge_says": said.reason, **made})
    for label in LABELS:
        own = [row for row in rows if row["label"] == label]
        print(f"{label}: {len(own)}, of which the judge accepts {sum(row['judge'] == 'right' for row in own)}")
    replace_rows(TABLE, rows, key=lambda row: None)  # the whole table
    print(f"wrote {TABLE}")


if __name__ == "__main__":
    main()
