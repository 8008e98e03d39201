"""What paints, behind one protocol.

- `protocol.py`: what every sampler does, and where its random numbers come from
- `tokenizer.py`: a picture as six small maps of tokens, and back
- `transformer.py`: predicts the tokens of a scale from the text and the coarser scales
- `next_scale.py`: the sampler made of these two
- `going_back.py`: what verbs that lead back to an earlier step share
- `velocity.py`: the diffusion twin's network, which says in which direction noise becomes a picture
- `flow.py`: the sampler made of it
"""
