"""Measuring: how often a picture is right, and how sure one can be of it.

- `evaluate.py`: judged success over the tasks
- `statistics.py`: intervals; what the best of n is worth
- `choosing.py`: how well a verifier chooses among pictures of one prompt
- `law.py`: what success would be if facts failed independently
"""
