"""What scores a picture against its prompt, and what search climbs.

- `protocol.py`: what every verifier does, the checks of its inputs, and the oracle
- `clip.py`: CLIPScore by a CLIP small enough to train in ten minutes
"""
