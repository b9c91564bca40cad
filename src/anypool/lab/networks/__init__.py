"""Networks of any framework as the lab sees them: what it swaps, trains, asks and counts.

- `base`: what a network can do. `keras`, `torch`: networks of Keras and of torch.
- `find`: networks by what a user calls them: a file, a function, a model.
"""
