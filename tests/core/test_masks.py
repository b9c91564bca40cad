"""where=, nan_policy=, min_count= and fill_value=: against deleting the elements in the reference."""

import numpy as np
import pytest
import reference
import window_functions as f
from adapters import ADAPTERS, DIFFERENTIABLE, EVERY_ADAPTER
from harness import Case, random_array
from operator_table import DIFFERENTIABLE_OPERATORS, ROWS

import anypool as ap

CORE_FUNCTIONS = {
    "max": f.rank(-1),
    "min": f.rank(1),
    "average": f.mixed(0),
    "sum": f.sum_of(),
    "lp": f.lp(2),
}
CASES = [
    Case(axes=(1, 2), kernel_size=(3, 2), stride=(2, 1), padding=((1, 0), (0, 1))),
    Case(axes=(2, 0), window="adaptive", output_size=(3, 2)),
    Case(axes=(0, 2), window="global"),
]
SHAPE = (3, 5, 6)


def functions(operator):
    return CORE_FUNCTIONS.get(operator) or ROWS[operator].reference


def least(operator):
    row = ROWS[operator]
    return row.fewest if row.needs_element else 0


def masked(rng, operator, name="float32"):
    """An array, a mask that leaves little, and what is masked holds what no operator should see."""
    x = ROWS[operator].domain(random_array(rng, SHAPE, name))
    mask = rng.random(SHAPE) < 0.4
    mask[:, :3, :4] = False
    if x.dtype.kind == "f":
        x = np.where(mask, x, rng.choice([np.nan, np.inf, -np.inf], SHAPE)).astype(x.dtype)
    return x, mask


@EVERY_ADAPTER
@pytest.mark.parametrize("operator", ROWS)
def test_where_is_deleting_the_elements(adapter, operator, rng):
    for case in CASES if adapter.name != "jax" else CASES[:1]:
        x, mask = masked(rng, operator)
        window, value = case.package_window(), functions(operator)[0]
        expected = reference.pool(x, value, case.windows(SHAPE), case.axes, where=mask, least=least(operator))
        fill = -77 if operator == "mode" else None
        expected = np.where(np.isnan(expected), -77, expected) if operator == "mode" else expected

        def call(x, mask, window=window, axes=case.axes, fill=fill):
            return ap.pool(x, ROWS[operator].operator, window, axes, where=mask, fill_value=fill)

        got = adapter.numpy(call(adapter.make(x), adapter.make(mask)))
        np.testing.assert_allclose(got.astype(np.float64), expected, rtol=2e-5, atol=2e-5, err_msg=str(case))


@DIFFERENTIABLE
@pytest.mark.parametrize("operator", DIFFERENTIABLE_OPERATORS)
def test_gradients_reach_what_counts_and_nothing_else(adapter, operator, rng):
    case = CASES[0]
    x, mask = masked(rng, operator)
    upstream = rng.normal(size=(3, 2, 6)).astype(np.float32)
    settings = {"where": mask, "least": least(operator)}
    expected = reference.gradient(x, upstream, functions(operator)[1], case.windows(SHAPE), case.axes, **settings)
    pooled = adapter.gradient(
        lambda a: ap.pool(a, ROWS[operator].operator, case.package_window(), case.axes, where=adapter.make(mask)),
        x,
        upstream,
    )
    np.testing.assert_allclose(pooled, expected, rtol=2e-4, atol=2e-4)


@EVERY_ADAPTER
def test_every_dtype(adapter, rng):
    for name in adapter.dtypes if adapter.name != "jax" else ("bool", "int8", "uint32", "float16"):
        for operator in ("max", "min", "sum", "average", "median", "range"):
            x, mask = masked(rng, operator, name)
            lacking = {"median": ("uint16", "uint32", "uint64"), "range": ("uint8", "uint16", "uint32", "uint64")}
            if adapter.name == "torch" and name in lacking.get(operator, ()):
                with pytest.raises(TypeError, match=r"PyTorch has no arithmetic in uint\d\d.*cast x"):
                    ap.pool(adapter.make(x), operator, ap.Global(), 2, where=adapter.make(mask), fill_value=0)
                continue
            whole = [reference.whole(6)]
            got = adapter.numpy(
                ap.pool(adapter.make(x), operator, ap.Global(), 2, where=adapter.make(mask), fill_value=0)
            )
            expected = np.nan_to_num(reference.pool(x, functions(operator)[0], whole, (2,), where=mask))
            if got.dtype.kind in "iu":
                size = 2.0 ** (8 * got.dtype.itemsize)
                assert (np.abs((got.astype(np.float64) - expected + size / 2) % size - size / 2) <= size * 1e-12).all()
            else:
                np.testing.assert_allclose(got.astype(np.float64), expected, rtol=2e-2, atol=1e-2, err_msg=name)


@EVERY_ADAPTER
def test_masked_means_of_padded_sequences(adapter):
    """The mask broadcasts over channels."""
    tokens = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    mask = np.array([[True, True, False, False], [True, False, True, True]])
    got = adapter.numpy(ap.global_pool(adapter.make(tokens), "average", 1, where=adapter.make(mask[..., None])))
    np.testing.assert_allclose(got, [[1.5, 2.5, 3.5], [17, 18, 19]])


@EVERY_ADAPTER
def test_nan_counts_min_count_and_fill_value(adapter):
    nan = np.nan
    raster = adapter.make(np.array([[1, nan, 4, 6], [nan, nan, 8, nan]], np.float32))

    def pooled(**settings):
        return adapter.numpy(ap.avg_pool(raster, 2, **settings)).tolist()

    np.testing.assert_equal(pooled(), [[nan, nan]])
    assert pooled(nan_policy="omit") == [[1, 6]]
    np.testing.assert_equal(pooled(nan_policy="omit", min_count=2), [[nan, 6]])
    assert pooled(nan_policy="omit", min_count=2, fill_value=-1) == [[-1, 6]]
    assert adapter.numpy(ap.pool(raster, "count", ap.Sliding(2), nan_policy="omit")).tolist() == [[1, 3]]
    assert adapter.numpy(ap.sum_pool(raster, 2, where=adapter.make(np.zeros((2, 4), bool)))).tolist() == [[0, 0]]
    np.testing.assert_equal(adapter.numpy(ap.sum_pool(raster, 2, nan_policy="omit", min_count=3)).tolist(), [[nan, 18]])
    with pytest.raises(ValueError, match=r"x holds NaN where elements count, and nan_policy is 'raise'"):
        pooled(nan_policy="raise")
    known = np.array([[True, False, True, True], [False, False, True, False]])
    assert pooled(nan_policy="raise", where=adapter.make(known)) == [[1, 6]]
    assert adapter.numpy(ap.max_pool(adapter.make(np.ones((2, 2), np.int32)), 2, nan_policy="omit", fill_value=0)) == 1


@pytest.mark.parametrize("name", ["numpy", "torch"])
@pytest.mark.parametrize("keepdims", [True, False])
def test_masked_results_are_written_into_out(name, keepdims):
    adapter = ADAPTERS[name]()
    x, out = adapter.make(np.arange(6.0).reshape(2, 3)), adapter.make(np.zeros((2, 1) if keepdims else 2))
    mask = adapter.make(np.array([True, False, True]))
    assert ap.global_pool(x, "sum", 1, keepdims, where=mask, out=out) is out
    assert adapter.numpy(out).ravel().tolist() == [2, 8]


@EVERY_ADAPTER
@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            {"where": np.ones((3, 3), bool)},
            ValueError,
            r"where must broadcast to x: .*, where \(3, 3\)",
        ),
        ({"where": np.ones((1, 4, 4), bool)}, ValueError, r"where must broadcast to x"),
        ({"where": np.ones((4, 4), np.float32)}, TypeError, r"where must hold booleans, .* got dtype float32"),
        ({"nan_policy": "ignore"}, ValueError, r"nan_policy must be one of 'propagate', 'omit', 'raise', got 'ignore'"),
        ({"min_count": -1}, ValueError, r"min_count must be between 0"),
        ({"min_count": 1.5}, TypeError, r"min_count must be an integer"),
        ({"fill_value": "none"}, TypeError, r"fill_value must be a number, got 'none'"),
        ({"nan_policy": "omit", "return_indices": True}, ValueError, r"return_indices=True cannot be had"),
    ],
)
def test_wrong_masks_are_refused(adapter, settings, error, message):
    settings = {name: adapter.make(v) if isinstance(v, np.ndarray) else v for name, v in settings.items()}
    with pytest.raises(error, match=message):
        ap.max_pool(adapter.make(np.zeros((4, 4), np.float32)), 2, **settings)


@EVERY_ADAPTER
def test_integers_need_a_fill_value(adapter):
    x, mask = adapter.make(np.ones((4, 4), np.int32)), adapter.make(np.ones((4, 4), bool))
    with pytest.raises(ValueError, match=r"fill_value must be given: .*, and int32 has no NaN"):
        ap.max_pool(x, 2, where=mask)
    assert adapter.numpy(ap.sum_pool(x, 2, where=mask)).tolist() == [[4, 4], [4, 4]]
    with pytest.raises(ValueError, match=r"give one of the two"):
        ap.avg_pool(x, 2, padding=1, count_include_pad=True, where=mask)


def test_masks_in_programs():
    """torch.compile and jit take a mask as an argument, and nan_policy='raise' cannot look into one."""
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    x, mask = np.arange(16, dtype=np.float32).reshape(4, 4), np.eye(4, dtype=bool)
    expected = ap.avg_pool(x, 2, 1, where=mask, fill_value=0)

    def pooled(x, mask):
        return ap.avg_pool(x, 2, 1, where=mask, fill_value=0)

    np.testing.assert_allclose(jax.jit(pooled)(x, mask), expected)
    compiled = torch.compile(pooled, backend="eager", fullgraph=True)
    np.testing.assert_allclose(compiled(torch.tensor(x), torch.tensor(mask)).numpy(), expected)
    with pytest.raises(ValueError, match=r"nan_policy='raise' needs the values of x"):
        jax.jit(lambda x: ap.avg_pool(x, 2, nan_policy="raise"))(x)


def test_masks_in_keras_s_functional_models():
    keras = pytest.importorskip("keras")
    x, mask = np.arange(24, dtype=np.float32).reshape(1, 6, 4), np.array([[[True], [False]] * 3])
    tokens, counts = keras.Input((6, 4)), keras.Input((6, 1), dtype="bool")
    model = keras.Model([tokens, counts], ap.global_pool(tokens, "average", 1, where=counts))
    expected = ap.global_pool(x, "average", 1, where=mask)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model([x, mask])), expected, rtol=1e-6)
    pool = type(next(layer for layer in model.operations if "pool" in type(layer).__name__.lower()))
    again = keras.Model.from_config(model.get_config(), custom_objects={pool.__name__: pool})
    np.testing.assert_allclose(keras.ops.convert_to_numpy(again([x, mask])), expected, rtol=1e-6)
