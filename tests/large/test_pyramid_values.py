"""Every level is the pooling of level 0, to the bit, however it is cut; nothing overflows, nodata never counts."""

import math

import numpy as np
import pyramids as reference
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import anypool as ap

zarr = pytest.importorskip("zarr")
storage = pytest.importorskip("zarr.storage")

from anypool.pyramids.job import Job  # noqa: E402

INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
OPERATORS = ("mean", "mode", "median", "min", "max", "sum")
AXES = {2: "yx", 3: "zyx"}


@st.composite
def cases(draw, dtypes=INTEGERS, operators=OPERATORS):
    rank = draw(st.integers(2, 3))
    lengths = st.integers(1, 9 if rank == 3 else 24)
    shape = tuple(draw(lengths) for _ in range(rank))
    chunks = tuple(draw(lengths) for _ in range(rank))
    shards = tuple(c * draw(st.integers(1, 3)) for c in chunks) if draw(st.booleans()) else None
    factors = tuple(draw(st.integers(1, 4)) for _ in range(rank))
    reducible = any(f > 1 and n > 1 for f, n in zip(factors, shape, strict=True))
    return {
        "dtype": draw(st.sampled_from(dtypes)),
        "operator": draw(st.sampled_from(operators)),
        "shape": shape if reducible else (*shape[:-1], 7),
        "chunks": chunks,
        "shards": shards,
        "factors": factors if reducible else (*factors[:-1], 2),
        "memory": draw(st.sampled_from([2_000, 20_000, 10**7, "2GB"])),
        "few": draw(st.booleans()),
        "nodata": draw(st.sampled_from([None, None, 0, 3])),
        "copies": draw(st.booleans()),
        "seed": draw(st.integers(0, 1000)),
    }


def values_of(case):
    rng, dtype = np.random.default_rng(case["seed"]), np.dtype(case["dtype"])
    if dtype.kind == "f":
        x = rng.standard_normal(case["shape"]) * 10.0 ** rng.integers(-3, 4, case["shape"])
        return np.where(rng.random(case["shape"]) < 0.2, 3, x).astype(dtype)
    info = np.iinfo(dtype)
    low, high = (0, 4) if case["few"] else (info.min, info.max)
    if case["operator"] == "sum" and dtype.itemsize == 8:
        low, high = low >> 12, high >> 12
    return rng.integers(low, high, case["shape"], dtype=dtype, endpoint=True)


def made(x, case, **settings):
    """The pyramid of a case and the group it is in; memory that holds no window is doubled until it does."""
    group = reference.in_memory(x, case["chunks"], shards=case["shards"])
    target = zarr.create_group(storage.MemoryStore()) if case["copies"] else None
    memory = case["memory"]
    while True:
        try:
            done = ap.pyramid(
                group, target, case["operator"], case["factors"], memory=memory, nodata=case["nodata"],
                axes=AXES[x.ndim], levels=case.get("levels", "auto"), **settings,
            )  # fmt: skip
        except ValueError as error:
            if "memory must hold" not in str(error):
                raise
            memory = 4 * memory
        else:
            return done, group if target is None else target


def check(case):
    x = values_of(case)
    done, group = made(x, case)
    assert done.complete
    assert sorted(dict(group.members())) == [str(level) for level in range(len(done.levels) + 1)]
    np.testing.assert_array_equal(group["0"][...], x)
    for level in done.levels:
        got = group[str(level.number)][...]
        expected = reference.exact(x, case["operator"], level.factors, case["nodata"])
        assert (got.shape, got.dtype) == (level.shape, expected.dtype)
        np.testing.assert_array_equal(got, expected)


@given(cases())
@settings(max_examples=30)
@example(
    {
        "dtype": "uint8", "operator": "mode", "shape": (7, 9, 5), "chunks": (2, 3, 5), "shards": (4, 3, 10),
        "factors": (2, 3, 1), "memory": 2_000, "few": True, "nodata": 3, "copies": True, "seed": 0,
    }
)  # fmt: skip
def test_levels_are_exact(case):
    check(case)


@pytest.mark.slow
@given(cases())
@settings(max_examples=2000)
def test_levels_are_exact_in_many_cases(case):
    check(case)


@pytest.mark.parametrize("operator", OPERATORS)
def test_levels_have_the_bits_of_pooling_in_memory(operator, rng):
    x = rng.integers(0, 65536, (37, 53), dtype="uint16")
    group = reference.in_memory(x, (8, 16))
    done = ap.pyramid(group, None, operator, levels=4)
    for level in done.levels:
        window, options = ap.Sliding(level.factors, ceil_mode=True), {}
        if operator == "mean":
            options = {"dtype": "uint16"}
        name = "average" if operator == "mean" else operator
        expected = ap.pool(x, name, window, **options)
        np.testing.assert_array_equal(group[str(level.number)][...], expected, strict=True)


@given(cases(dtypes=("float16", "float32", "float64"), operators=("mean", "sum", "median", "max", "min")))
@settings(max_examples=12)
def test_floats_have_the_same_bits_for_every_cut(case):
    case = {**case, "levels": 2, "shape": tuple(max(4, n) for n in case["shape"])}
    case["factors"] = tuple(min(f, 2) for f in case["factors"])
    if max(case["factors"]) == 1:
        case["factors"] = (2,) * len(case["shape"])
    x = values_of(case)
    done, group = made(x, case)
    other = {**case, "chunks": case["shape"], "shards": None, "memory": "2GB", "copies": False}
    _, whole = made(x, other)
    for level in done.levels:
        got = group[str(level.number)][...]
        np.testing.assert_array_equal(got, whole[str(level.number)][...], strict=True)
        expected = reference.exact(x, case["operator"], level.factors, case["nodata"])
        eps = float(np.finfo(x.dtype).eps)
        np.testing.assert_allclose(got, expected, rtol=eps, atol=8 * 1e-16 * float(np.abs(x).max()))


@pytest.mark.parametrize("operator", ["mean", "max", "median", "sum"])
def test_a_nan_beside_nodata_is_a_value_and_a_nan_that_is_nodata_is_none(operator):
    x = np.array([[1, -9, 4, math.nan], [-9, 2, 5, 6], [-9, -9, math.inf, 1], [-9, -9, 2, 1]], "float32")
    group = reference.in_memory(x, (2, 2))
    ap.pyramid(group, None, operator, levels=1, nodata=-9)
    np.testing.assert_array_equal(group["1"][...], reference.exact(x, operator, (2, 2), -9))
    x[x == -9] = math.nan
    group = reference.in_memory(x, (2, 2))
    ap.pyramid(group, None, operator, levels=1, nodata=math.nan)
    got = group["1"][...]
    np.testing.assert_array_equal(got, reference.exact(x, operator, (2, 2), math.nan))
    assert math.isnan(got[1, 0])


def test_means_of_the_greatest_integers_do_not_overflow():
    for dtype in INTEGERS:
        info = np.iinfo(dtype)
        x = np.full((32, 32), info.max, dtype)
        x[:, ::3], x[::7] = info.min, info.max - 1
        group = reference.in_memory(x, (8, 8))
        done = ap.pyramid(group, levels=5)
        for level in done.levels:
            np.testing.assert_array_equal(group[str(level.number)][...], reference.exact(x, "mean", level.factors))


@pytest.mark.parametrize("dtype", ["uint64", "int64", "float16", "float64"])
def test_a_sum_that_would_overflow_is_refused(dtype):
    kind = np.dtype(dtype).kind
    most = np.finfo(dtype).max if kind == "f" else np.iinfo(dtype).max
    x = np.full((4, 4), most, dtype)
    group = reference.in_memory(x, (4, 4))
    with pytest.raises(ap.pyramids.IncompletePyramid, match=f"a sum.* does not fit into .*{dtype}"):
        ap.pyramid(group, None, "sum", levels=1)
    assert "ome" not in group.attrs
    if dtype == "float64":
        with pytest.raises(ap.pyramids.IncompletePyramid, match="a sum does not fit into float64"):
            ap.pyramid(group, None, "mean", levels=1, resume=False)


class Counting(storage.WrapperStore):
    """How often each chunk was read, and written."""

    def __init__(self, store):
        super().__init__(store)
        self.read, self.written = [], []

    async def get(self, key, prototype, byte_range=None):
        if "/c/" in key:
            self.read.append(key)
        return await super().get(key, prototype, byte_range)

    async def set(self, key, value):
        if "/c/" in key:
            self.written.append(key)
        await super().set(key, value)


@pytest.mark.parametrize("shards", [None, (16, 16, 16)])
@pytest.mark.parametrize("operator", ["mean", "mode"])
def test_every_chunk_is_read_once_and_every_chunk_or_shard_is_written_once(rng, shards, operator):
    x = rng.integers(1, 5, (32, 32, 32), dtype="uint8")
    store = Counting(storage.MemoryStore())
    group = reference.image(store, x, (8, 8, 8), shards=shards)
    store.read.clear(), store.written.clear()
    ap.pyramid(group, None, operator, levels=2, memory=300_000 if operator == "mean" else 3_000_000)
    of_level_0 = [key for key in store.read if key.startswith("0/")]
    if shards is None:
        assert len(of_level_0) == len(set(of_level_0)) == 64
    of_levels = [key for key in store.written if key[:2] in ("1/", "2/")]
    assert len(of_levels) == len(set(of_levels)) == (8 + 1 if shards is None else 1 + 1)


def test_a_chunk_that_is_not_there_is_its_fill_value_and_costs_nothing(monkeypatch):
    x = np.zeros((64, 64), "uint16")
    x[:8, :8] = 9
    group = reference.in_memory(x, (8, 8), fill_value=0)
    computed = []
    original = Job._compute
    monkeypatch.setattr(Job, "_compute", lambda self, region: computed.append(region) or original(self, region))
    done = ap.pyramid(group, levels=2, memory=4_000)
    assert len(computed) == 1 < done.blocks
    np.testing.assert_array_equal(group["2"][...], reference.exact(x, "mean", (4, 4)))
    assert group["1"].nchunks_initialized == 1


@pytest.mark.parametrize(("fill", "operator"), [(7, "mean"), (7, "sum"), (7, "mode"), (7, "max"), (7, "median")])
def test_a_fill_value_counts_like_any_other(fill, operator):
    group = reference.in_memory(np.full((5, 7), 1, "uint8"), (2, 2), fill_value=fill)
    del group.store._store_dict["0/c/1/1"]
    x = group["0"][...]
    assert (x == fill).any()
    done = ap.pyramid(group, None, operator, levels=3, memory=500 if operator != "mode" else 20_000)
    for level in done.levels:
        np.testing.assert_array_equal(
            group[str(level.number)][...], reference.exact(x, operator, level.factors), strict=True
        )


def test_isotropic_factors_leave_thick_slices_alone_until_pixels_are_as_long():
    x = np.zeros((8, 64, 64), "uint8")
    group = reference.in_memory(x, (8, 8, 8))
    ap.pyramid(group, levels=1)  # writes the metadata, whose scale is then changed
    attributes = dict(group.attrs)
    attributes["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] = [4.0, 1.0, 1.0]
    group.update_attributes(attributes)
    done = ap.pyramid(group, factors="isotropic", levels=4, resume=False)
    assert [level.factors for level in done.levels] == [(1, 2, 2), (1, 4, 4), (2, 8, 8), (4, 16, 16)]


def test_channels_and_times_are_left_alone_and_factors_may_be_given_by_name():
    x = np.arange(2 * 3 * 5 * 6, dtype="uint16").reshape(2, 3, 5, 6)
    group = reference.in_memory(x, (1, 1, 4, 4))
    done = ap.pyramid(group, axes="tcyx", levels=1)
    assert done.levels[0].factors == (1, 1, 2, 2)
    done = ap.pyramid(group, axes="tcyx", factors={"t": 2, "x": 3}, levels=1, resume=False)
    assert done.levels[0].factors == (2, 1, 1, 3)
    np.testing.assert_array_equal(group["1"][...], reference.exact(x, "mean", (2, 1, 1, 3)))


def test_big_endian_integers_and_numpy_arrays(tmp_path, rng):
    x = rng.integers(0, 1000, (9, 10)).astype(">i4")
    ap.pyramid(x, tmp_path / "a.zarr", levels=1)
    ap.pyramid(reference.in_memory(x, (4, 4)), tmp_path / "b.zarr", levels=1)
    for name in ("a", "b"):
        group = zarr.open_group(tmp_path / f"{name}.zarr", mode="r")
        np.testing.assert_array_equal(group["0"][...], x)
        np.testing.assert_array_equal(group["1"][...], reference.exact(x, "mean", (2, 2)))


@pytest.mark.parametrize("shards", [None, (16, 16)])
def test_a_copy_of_level_0_has_its_chunks_as_they_are_stored(tmp_path, rng, shards):
    x = rng.integers(0, 9, (40, 37), dtype="uint16")
    x[:16, :16] = 0  # a chunk that is not there
    reference.image(tmp_path / "a.zarr", x, (8, 8), shards=shards)
    ap.pyramid(tmp_path / "a.zarr", tmp_path / "b.zarr", levels=2, memory=20_000)
    stored = [
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name / "0" / "c").rglob("*/*")
         if path.is_file()}
        for name in ("a.zarr", "b.zarr")
    ]  # fmt: skip
    assert len(stored[0]) > 1
    assert stored[0] == stored[1]
    group = zarr.open_group(tmp_path / "b.zarr", mode="r")
    np.testing.assert_array_equal(group["0"][...], x)
    np.testing.assert_array_equal(group["2"][...], reference.exact(x, "mean", (4, 4)))
