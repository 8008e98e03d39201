"""Measuring: how often a picture is right, and how sure one can be of it.

- `evaluate.py`: judged success over the tasks
- `statistics.py`: intervals
"""
