"""pool and its named forms on every kind of array against the reference: operators, windows, ranks, layouts, dtypes."""

import numpy as np
import pytest
from adapters import EVERY_ADAPTER, FLOATS
from harness import OPERATORS, Case, check, fitting_case, laid_out, random_array

CASES_PER_OPERATOR = {"numpy": 150, "torch": 60, "jax": 6, "tensorflow": 12}
"""JAX and TensorFlow take a while to meet each new shape."""


@EVERY_ADAPTER
@pytest.mark.parametrize("operator", OPERATORS)
def test_random_poolings(adapter, operator, rng):
    for number in range(CASES_PER_OPERATOR[adapter.name]):
        case, shape = fitting_case(rng, operator=operator, rank=1 + number % 3)
        name = adapter.dtypes[number % len(adapter.dtypes)]
        specials = name in FLOATS and number % 2 == 0
        check(case, laid_out(rng, random_array(rng, shape, name, specials)), adapter, impl="definition")
