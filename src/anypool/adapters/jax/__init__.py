"""JAX arrays: `adapter.py` chooses, `rules.py` differentiates, `steps.py` computes, `bands.py` saves memory."""
