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
from anypool.operators import (
    OPERATORS,
    Average,
    GeM,
    Info,
    Lp,
    Max,
    Median,
    Min,
    Operator,
    Parameter,
    Sum,
    Variance,
    operator_for,
    parameter,
    register_operator,
)
from anypool.pooling import clear_caches
from anypool.windows import Adaptive, Global, Sliding, Window

__version__ = "0.1.0"

__all__ = [
    "OPERATORS",
    "Adaptive",
    "Average",
    "GeM",
    "Global",
    "Info",
    "Lp",
    "Max",
    "Median",
    "Min",
    "Operator",
    "Parameter",
    "Sliding",
    "Sum",
    "Variance",
    "Window",
    "adaptive_pool",
    "avg_pool",
    "clear_caches",
    "get_memory_cache_limit",
    "get_num_threads",
    "global_pool",
    "max_pool",
    "max_unpool",
    "min_pool",
    "operator_for",
    "parameter",
    "pool",
    "register_operator",
    "set_memory_cache_limit",
    "set_num_threads",
    "sum_pool",
]
