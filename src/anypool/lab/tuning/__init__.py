"""A search for the pooling of every site of a network: `anypool.lab.tune`, and `anypool tune` on the command line.

- `space`: what is tried: poolings with their parameters, and windows. `candidates`: networks with what was chosen.
- `trials`: what one trial trains and measures, and when it is not worth its end. `aims`: what is searched for.
- `store`: trials in a database of Optuna's, which any number of processes and machines may share.
- `search`: `tune`, which runs trials here or in `workers`, and ends with the best network.
- `outcome`: what came of it, in files too. `code`: the lines that build the best network.
"""
