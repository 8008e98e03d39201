"""How the models of the course are trained.

- `loop.py`: one plain loop for every recipe
- `recipes.py`: tokenizer and transformer
- `verifiers.py`: the CLIPs
- `merges.py`: the merges of the CLIPs' tokenizer
- `samples.py`: what the generators paint, with the judge's word, for verifiers to learn from
- `rewards.py`: the reward model and the aesthetic head
- `reasoner.py`: the verifier that asks
- `flows.py`: the diffusion twin
- `build.py`: from a name to a recipe around its model
"""
