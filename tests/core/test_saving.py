"""What files hold: public names and keywords, read back equal; and what version 0.1.0 wrote."""

import pickle
from pathlib import Path

import numpy as np
import pytest

import anypool as ap
from anypool.operators import deserialize
from anypool.saving import from_config, to_config

DATA = Path(__file__).parents[1] / "data"

VALUES = [
    ap.Max(),
    ap.Average(True, 3),
    ap.Lp(1.5),
    ap.GeM(p=2.5, eps=1e-3),
    ap.Median("mean"),
    ap.Variance(ddof=1),
    ap.Sliding((3, 2), 2, ((1, 0), (0, 1)), 2, True),
    ap.Sliding(3, padding="same"),
    ap.Adaptive((None, 3)),
    ap.Global(),
    (1, -1),
    None,
    "float32",
]


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_values_come_back_equal(value):
    config = to_config(value)
    assert from_config(config) == value
    assert type(from_config(config)) is type(value)


def test_configurations_hold_public_names():
    assert to_config(ap.GeM(p=2)) == {"operator": "gem", "p": 2, "eps": 1e-6}
    assert to_config(ap.Adaptive(3)) == {"window": "adaptive", "output_size": 3}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"operator": "maximum"}, "'maximum' is not known here"),
        ({"operator": "os:system", "p": 1}, "'os:system' is not known here"),
        ({"window": "round"}, "window must be one of"),
        ({"anypool": "Window", "fields": {}}, "operator or window must be one of"),
    ],
)
def test_what_is_not_known_is_refused_in_words(config, words):
    with pytest.raises(ValueError, match=words):
        from_config(config)


def test_the_first_format_of_keras_models_is_read():
    assert from_config({"anypool": "Lp", "fields": {"p": 3.0}}) == ap.Lp(3.0)
    assert from_config({"anypool": "Adaptive", "fields": {"output_size": [2, None]}}) == ap.Adaptive((2, None))


def test_arrays_are_not_saved():
    with pytest.raises(TypeError, match="p of GeM must be a number"):
        to_config(ap.GeM(p=np.ones(3)))
    with pytest.raises(ValueError, match="not known here"):
        deserialize({"operator": "none such"})


def test_objects_of_the_first_version_are_unpickled():
    apt = pytest.importorskip("anypool.torch")
    torch = pytest.importorskip("torch")
    *modules, average, norm, window = pickle.loads((DATA / "objects-0.1.0.pickle").read_bytes())
    assert (average, norm, window) == (ap.Average(True), ap.Lp(3.0), ap.Sliding(3, 2, 1))
    assert [type(module).__name__ for module in modules] == [
        "MaxPool2d",
        "AvgPool2d",
        "AdaptiveAvgPool2d",
        "MinPool2d",
        "GlobalMaxPool2d",
        "SumPool2d",
    ]
    assert all(isinstance(module, getattr(apt, type(module).__name__)) for module in modules)
    assert modules[0](torch.ones(1, 1, 5, 5)).shape == (1, 1, 3, 3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_torch_programs_of_the_first_version_run():
    torch = pytest.importorskip("torch")
    pytest.importorskip("anypool.torch")
    program = torch.export.load(DATA / "program-0.1.0.pt2").module()
    kept = np.load(DATA / "program-0.1.0.npz")
    for number, value in enumerate(program(torch.from_numpy(kept["x"]))):
        np.testing.assert_allclose(value.numpy(), kept[f"y{number}"], rtol=1e-6)
