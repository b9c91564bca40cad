"""xarray: pooling by dimension, beside xarray's own coarsen and rolling; names, attributes and laziness stay."""

import numpy as np
import pytest
from processes import run_python

import anypool as ap

xr = pytest.importorskip("xarray")
da = pytest.importorskip("dask.array")
pytest.importorskip("anypool.xarray")

RNG = np.random.default_rng(0)
REDUCTIONS = ("max", "min", "mean", "sum", "median", "var", "std", "count")


def field(dtype="float64", missing=0.2):
    values = (RNG.normal(size=(3, 12, 10)) * 20).astype(dtype)
    if values.dtype.kind == "f":
        values[RNG.random(values.shape) < missing] = np.nan
    return xr.DataArray(
        values,
        dims=("time", "y", "x"),
        coords={
            "time": np.array(["2026-01-01", "2026-01-02", "2026-01-03"], "datetime64[ns]"),
            "y": ("y", np.linspace(50, 39, 12), {"units": "degrees_north"}),
            "x": ("x", np.arange(10) ** 2, {"units": "degrees_east"}),
            "height": (("y", "x"), RNG.normal(size=(12, 10)), {"units": "m"}),
            "run": 7,
        },
        name="temperature",
        attrs={"units": "K"},
    )


def close(got, expected):
    xr.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9)
    assert got.dtype == expected.dtype
    assert (got.name, got.attrs) == (expected.name, expected.attrs)
    assert list(got.coords) == list(expected.coords) or set(got.coords) == set(expected.coords)
    for name in expected.coords:
        assert got.coords[name].attrs == expected.coords[name].attrs
        assert got.coords[name].dtype == expected.coords[name].dtype


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of NumPy, in what is compared with
@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize(
    "options",
    [
        {"y": 3, "x": 2},
        {"time": 2, "x": 4, "boundary": "trim"},
        {"y": 5, "x": 3, "boundary": {"y": "pad", "x": "trim"}, "side": {"y": "right", "x": "left"}},
        {"x": 4, "boundary": "trim", "side": "right"},
        {"y": 4, "coord_func": {"y": "min"}},
    ],
    ids=str,
)
def test_coarsen(name, options, lazy):
    x = field()
    given = x.chunk({"y": 5, "x": 4}) if lazy else x
    got = getattr(given.anypool.coarsen(**options), name)()
    if lazy:
        assert isinstance(got.data, da.Array)
    close(got, getattr(x.coarsen(**options), name)())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize(
    "options",
    [
        {"x": 3},
        {"x": 4, "center": True, "min_periods": 1},
        {"y": 3, "x": 2, "center": {"y": True, "x": False}, "min_periods": 2},
    ],
    ids=str,
)
def test_rolling_with_a_stride(name, options):
    x = field(missing=0.1)
    got = getattr(x.anypool.rolling(**options, stride={"x": 2}), name)()
    expected = getattr(x.rolling(**options), name)().isel(x=slice(None, None, 2))
    close(got, expected)


@pytest.mark.parametrize("dtype", ["int16", "int64", "uint8", "bool", "float32"])
def test_dtypes_are_those_of_xarray(dtype):
    x = field(dtype, missing=0)
    names = ("max", "mean", "sum") if dtype != "bool" else ("max", "sum")
    for name in names:
        close(getattr(x.anypool.coarsen(y=2, x=2), name)(), getattr(x.coarsen(y=2, x=2), name)())
        if dtype in ("int64", "float32"):
            close(getattr(x.anypool.rolling(x=2), name)(), getattr(x.rolling(x=2), name)())


def test_pool_is_the_pooling_of_the_array():
    x = field()
    options = {"stride": {"y": 2}, "padding": {"x": (1, 0)}, "min_count": 3}
    got = x.anypool.pool("median", {"x": 3, "y": 4}, **options)
    window = ap.Sliding((3, 4), (3, 2), ((1, 0), (0, 0)))
    np.testing.assert_array_equal(got, ap.pool(x.values, "median", window, (2, 1), nan_policy="omit", min_count=3))
    assert (got.dims, got.name, got.attrs) == (x.dims, x.name, x.attrs)
    raw = x.anypool.pool("max", {"y": 2, "x": 2}, skipna=False)
    np.testing.assert_array_equal(raw, ap.max_pool(x.values, 2))
    adaptive = x.anypool.adaptive_pool("gem:p=2", {"y": 5, "x": 3})
    np.testing.assert_array_equal(adaptive, ap.adaptive_pool(x.values, "gem:p=2", (5, 3), nan_policy="omit"))
    small = field("uint8").anypool.pool("average", {"y": 2, "x": 2}, dtype="uint8")
    assert small.dtype == "uint8"


def test_padding_that_is_data():
    x = field(missing=0)
    got = x.anypool.pool("average", {"y": 3, "x": 3}, {"y": 2, "x": 2}, 1, padding_mode="reflect")
    expected = ap.avg_pool(x.values, 3, 2, 1, padding_mode="reflect")
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    np.testing.assert_array_equal(got.x, x.x[::2])
    blurred = x.anypool.pool("blur", {"y": 3, "x": 3}, 2, 1)
    np.testing.assert_allclose(blurred, ap.pool(x.values, "blur", ap.Sliding(3, 2, 1), (1, 2)), rtol=1e-12)


def test_strided_rolling_is_construct():
    x = field(missing=0)
    got = x.anypool.pool("max", {"y": 3, "x": 3}, stride={"y": 2, "x": 2}, padding=1, min_count=9)
    windows = x.rolling(y=3, x=3, center=True).construct(y="i", x="j", stride={"y": 2, "x": 2})
    np.testing.assert_array_equal(got, windows.max(["i", "j"], skipna=False))
    np.testing.assert_allclose(got.y, x.y[::2])
    np.testing.assert_allclose(got.x, x.x[::2])


def test_coordinates_are_the_centres_of_windows():
    x = field(missing=0)
    got = x.anypool.pool("max", {"time": 2, "y": 4, "x": 3}, {"time": 1, "y": 3, "x": 1}, {"y": (2, 1)})
    np.testing.assert_allclose(got.y, np.interp([-0.5, 2.5, 5.5, 8.5], range(12), x.y) + np.array([0.5, 0, 0, 0]))
    assert got.y.attrs == {"units": "degrees_north"}
    np.testing.assert_array_equal(got.x, x.x[1:-1])
    assert got.x.dtype == x.x.dtype
    assert got.time.values[0] == np.datetime64("2026-01-01T12")
    height = x.height.values
    np.testing.assert_allclose(got.height[1, 0], (height[2, 1] + height[3, 1]) / 2)
    assert got.run == 7
    partial = x.anypool.pool("max", {"y": 5}, ceil_mode=True)
    np.testing.assert_allclose(partial.y, x.y.values[0] - np.array([2, 7, 12]))


def test_coordinates_without_arithmetic():
    x = xr.DataArray(
        np.arange(6.0), dims="band", coords={"band": list("rgbinu"), "use": ("band", np.array(list("abcdef"), object))}
    )
    got = x.anypool.pool("max", {"band": 2})
    assert got.band.values.tolist() == ["r", "b", "n"]
    assert got.use.values.tolist() == ["a", "c", "e"]
    stacked = field().stack(cell=("y", "x")).anypool.pool("max", {"cell": 10})
    assert "cell" not in stacked.coords
    assert stacked.sizes == {"time": 3, "cell": 12}
    one = xr.DataArray([[1.0]], dims=("y", "x"), coords={"y": [3]})
    assert one.anypool.pool("max", {"y": 2}, padding={"y": (1, 0)}).y.item() == 3


def test_datasets():
    x = field()
    level = xr.DataArray(RNG.normal(size=12), dims="y", coords={"y": x.y}, attrs={"a": 1})
    other = xr.DataArray(["p", "q", "r"], dims="time")
    ds = xr.Dataset({"t": x, "level": level, "label": other, "scalar": 3}, attrs={"title": "a"})
    got = ds.anypool.pool("average", {"y": 3, "x": 2})
    assert list(got.data_vars) == list(ds.data_vars)
    xr.testing.assert_identical(
        got.t.drop_vars(got.coords), x.anypool.pool("average", {"y": 3, "x": 2}).rename("t").drop_vars(got.coords)
    )
    np.testing.assert_array_equal(got.level, ap.avg_pool(level.values, (3,)))
    xr.testing.assert_identical(got.label, ds.label.drop_vars([]))
    assert got.scalar == 3
    assert got.attrs == {"title": "a"}
    assert got.level.attrs == {"a": 1}
    close_to = ds.drop_vars("label").coarsen(y=3, x=2).mean()
    xr.testing.assert_allclose(ds.drop_vars("label").anypool.coarsen(y=3, x=2).mean(), close_to)


def test_masks_are_aligned_by_dimension():
    x = field(missing=0)
    land = (x.isel(time=0) > 0).transpose("x", "y")
    got = x.anypool.pool("max", {"y": 3, "x": 2}, where=land)
    np.testing.assert_array_equal(got, ap.max_pool(x.values, (3, 2), where=land.values.T))
    lazy = x.chunk(y=5).anypool.pool("max", {"y": 3, "x": 2}, where=land.chunk(y=4))
    assert isinstance(lazy.data, da.Array)
    xr.testing.assert_equal(lazy.compute(), got)


def test_lazy_arrays_stay_lazy_and_chunks_are_named_by_dimension():
    def fails(block):
        raise AssertionError("computed")

    lazy = (
        field()
        .chunk(y=4)
        .copy(data=da.from_array(field().values, chunks=4).map_blocks(fails, dtype="f8", meta=np.empty((0, 0, 0))))
    )
    got = lazy.anypool.pool("max", {"y": 2, "x": 2}, chunks={"y": 6})
    assert got.chunks == ((3,), (6,), (2, 2, 1))
    lazy.anypool.rolling(y=3).mean()
    lazy.to_dataset().anypool.coarsen(y=3).mean()


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("kernel_size must name dimensions of x, .* got 'z'", lambda x: x.anypool.pool("max", {"z": 2})),
        ("kernel_size must map dimensions to sizes", lambda x: x.anypool.pool("max", 2)),
        ("output_size must map dimensions to sizes", lambda x: x.anypool.adaptive_pool("max", 2)),
        ("stride must name dimensions that are pooled", lambda x: x.anypool.pool("max", {"y": 2}, {"x": 2})),
        ("a window must fit", lambda x: x.anypool.pool("max", {"y": 20})),
        ("cannot align", lambda x: x.anypool.pool("max", {"y": 2}, where=x.isel(y=slice(5)) > 0)),
        ("where must have no dimension", lambda x: x.anypool.pool("max", {"y": 2}, where=(x > 0).expand_dims("k"))),
        ("boundary='exact': dimension 'y' of 12 elements", lambda x: x.anypool.coarsen(y=5).max()),
        ("boundary must be one of", lambda x: x.anypool.coarsen(y=5, boundary="wrap")),
        ("coarsen must name dimensions", lambda x: x.anypool.coarsen(z=5)),
        ("rolling must name dimensions", lambda x: x.anypool.rolling(z=5)),
        ("the window of 'y' must be between 1", lambda x: x.anypool.rolling(y=0)),
        ("dim must map dimensions", lambda x: x.anypool.rolling()),
        ("min_periods must be between 1", lambda x: x.anypool.rolling(y=2, min_periods=0)),
        (
            "variable 'when': x must hold",
            lambda x: x.to_dataset().assign(when=x.y.astype("M8[D]")).anypool.pool("max", {"y": 2}),
        ),
    ],
)
def test_errors_are_a_sentence(words, call):
    with pytest.raises((TypeError, ValueError), match=words) as raised:
        call(field())
    assert "\n" not in str(raised.value).strip()


def test_without_xarray_it_says_what_to_install():
    done = run_python("-c", "import sys; sys.modules['xarray'] = None; import anypool.xarray")
    assert 'ImportError: anypool.xarray needs xarray: pip install "anypool[xarray]"' in done.stderr
