"""What scores a picture against its prompt, and what search climbs.

- `protocol.py`: what every verifier does, the checks of its inputs, and the oracle
- `clip.py`: CLIPScore by a CLIP small enough to train in ten minutes
- `reward.py`: a reward model; picture and prompt look at each other
- `aesthetic.py`: whether it is a clean picture, whatever the prompt
- `vqa.py`: the reasoner, which asks a question for each claim of the prompt
- `likelihood.py`: how likely the generator finds its own picture
- `ensemble.py`: several verifiers by rank or by z-score
"""
