"""anypool: pooling, every way to keep one number per window, on NumPy, PyTorch, JAX and Keras arrays."""

from anypool.cpu.settings import get_memory_cache_limit, get_num_threads, set_memory_cache_limit, set_num_threads
from anypool.functional import (
    adaptive_pool,
    avg_pool,
    global_pool,
    max_pool,
    max_unpool,
    min_pool,
    pool,
    sum_pool,
)
from anypool.operators import Average, Lp, Max, Min, Operator, Sum
from anypool.windows import Adaptive, Global, Sliding, Window

__version__ = "0.1.0"

__all__ = [
    "Adaptive",
    "Average",
    "Global",
    "Lp",
    "Max",
    "Min",
    "Operator",
    "Sliding",
    "Sum",
    "Window",
    "adaptive_pool",
    "avg_pool",
    "get_memory_cache_limit",
    "get_num_threads",
    "global_pool",
    "max_pool",
    "max_unpool",
    "min_pool",
    "pool",
    "set_memory_cache_limit",
    "set_num_threads",
    "sum_pool",
]
