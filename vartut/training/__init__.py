"""How the models of the course are trained.

- `loop.py`: one plain loop for every recipe
- `recipes.py`: tokenizer and transformer
- `verifiers.py`: the verifiers
- `build.py`: from a name to a recipe around its model
"""
