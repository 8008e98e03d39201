"""The published models, slim: VAR (arXiv 2404.02905) and Infinity (arXiv 2412.04431), in plain PyTorch.

- `vqvae.py`: the convolutional encoder and decoder that both tokenizers share
- `blocks.py`: attention, feed-forward and adaptive norm, with keys and values kept per scale
- `var.py`, `infinity.py`: tokenizer and transformer of each, as functions of one scale
- `loading.py`: the authors' checkpoints into these modules, strictly by name and in little memory
- `files.py`: where the checkpoints come from, under which licence, and what to do offline
- `text.py`: Infinity's text features, computed or read from a file
- `costs.py`: FLOPs and bytes computed from the sizes, to know before a download what fits
- `measured.py`: what memory was measured, beside the computed
- `claims.py`: what the paper claims of Infinity-2B, beside what others and we measured
- `sampler.py`: all of it as a sampler, so that every search runs on it: `vartut.load("var-d16")`
- `stand_in.py`: small random stand-ins with the published scales, for machines without the weights
- `clipscore.py`, `imagereward.py`, `aesthetic.py`, `llava.py`: the paper's verifiers, one a file
- `flux.py`: FLUX.1, a diffusion model, through diffusers in the same protocol

Both models are driven by the same five calls, one scale at a time, so that a search can stop, look and fork between:

    condition = model.encode(...)                                # once per distinct prompt
    latent = tokenizer.empty(rows)                               # (R, C, S, S), zeros
    step = model.step(k, latent, condition, prompt, past)        # logits of scale k, and its keys and values
    latent = tokenizer.add(k, latent, tokens)                    # after drawing the tokens of scale k
    images = tokenizer.decode(latent)                            # (R, 3, H, W) in [0, 1], at any k
"""
