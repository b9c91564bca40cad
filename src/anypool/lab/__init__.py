"""The lab: which pooling does your own network want? Measured on your images, by anypool's public interface alone.

- `data`: images and labels, from scikit-learn, `keras.datasets` or an .npz file, checked.
- `poolings`: the poolings on offer, by name.
- `models`: the course network, with the pooling as an argument.
- `metrics`: shift consistency, fidelity, values kept.
- `compare`: one training run per pooling and seed, kept in results.json as each ends.
- `summary`: means, spreads, and whether differences exceed them.
- `report`, `charts`: the page that says what was measured. `pictures`: images, pooled and drawn.
- `shapes`: output sizes, explained. `files`: writing them whole.
"""
