"""What belongs to the course alone: figures, exercises, and the commands that show it.

- `style.py`: how figures look
- `plots.py`: figures of searches
- `exercises.py`: what the test of an exercise stands on
- `demo.py`, `doctor.py`: the commands of these names
"""
