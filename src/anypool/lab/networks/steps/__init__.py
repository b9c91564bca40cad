"""One step of training, without its optimiser, as each framework makes it.

- `base`: what is asked of a step. `jax`, `tensorflow`, `torch`: steps of these.
"""
