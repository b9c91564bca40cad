"""The compiled kernels as Python sees them."""
