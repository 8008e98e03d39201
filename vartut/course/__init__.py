"""What belongs to the course alone: figures, exercises, and the commands that show it.

- `style.py`: how figures look
- `plots.py`: figures of searches
- `pen.py`: text, boxes, arrows and grids, in inches
- `schematics.py`: drawings that explain
- `tree_schematic.py`, `verifier_schematic.py`: those of notebooks 00 and 05
- `markers.py`: where a number of others comes from, seen at its marker
- `stored.py`: pictures that were painted, scored and judged before, each prompt once
- `start_figures.py`: figures of notebook 00
- `judge_figures.py`: figures of notebook 01
- `token_figures.py`: the longer figures of notebook 02
- `scale_figures.py`: the longer figures of notebook 03
- `fork_figures.py`: figures of notebook 04
- `verifier_figures.py`: figures of notebook 05
- `published_figures.py`: figure and table of notebook 11
- `widgets.py`: sliders above a picture
- `prompt_explorer.py`: a prompt of one's own, and what every verifier says of a picture
- `exercises.py`: what the test of an exercise stands on
- `demo.py`, `doctor.py`: the commands of these names
"""
