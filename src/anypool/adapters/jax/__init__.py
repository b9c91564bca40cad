"""JAX arrays; README.md says how to read this folder."""
