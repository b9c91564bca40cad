"""README says what is so: its first example runs, and it is short."""

from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_first_example_runs():
    code = README.split("```python\n")[1].split("```")[0].replace("(8, 16, 224, 224)", "(2, 3, 16, 16)")
    names = {}
    exec(code.replace("output_size=(7, 7)", "output_size=(3, 3)"), names)
    assert names["x"].dtype == np.float32


def test_it_is_short():
    assert len(README.splitlines()) < 120
