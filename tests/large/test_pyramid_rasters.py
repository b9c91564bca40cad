"""GeoTIFFs become cloud-optimized ones whose overviews are exact, and whose nodata never counts."""

import numpy as np
import pyramids as reference
import pytest

import anypool as ap

pytest.importorskip("zarr")
rasterio = pytest.importorskip("rasterio")

CRS, TRANSFORM = "EPSG:32633", (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_000_000.0)
NODATA = -99


@pytest.fixture
def x(rng):
    x = rng.integers(0, 50, (2, 75, 90)).astype("int16")
    x[:, 10:30, 20:61], x[0, 0, 0] = NODATA, NODATA
    return x


def raster(path, x, nodata=NODATA, **settings):
    settings = {"crs": CRS, "transform": rasterio.Affine(*TRANSFORM), **settings}
    with rasterio.open(
        path, "w", driver="GTiff", count=len(x), height=x.shape[1], width=x.shape[2], dtype=x.dtype.name, nodata=nodata,
        **settings,
    ) as made:  # fmt: skip
        made.write(x)
    return path


def overviews(path):
    with rasterio.open(path) as made:
        number = len(made.overviews(1))
    found = []
    for level in range(number):
        with rasterio.open(path, overview_level=level) as overview:
            found.append(overview.read())
    return found


@pytest.mark.parametrize("operator", ["mean", "max", "median", "mode"])
@pytest.mark.parametrize("settings", [{"compress": "lzw"}, {"tiled": True, "blockxsize": 32, "blockysize": 16}])
def test_overviews_are_exact_and_all_else_is_kept(tmp_path, x, operator, settings):
    source = raster(tmp_path / "in.tif", x, interleave="band" if "compress" in settings else "pixel", **settings)
    done = ap.pyramid(source, tmp_path / "out.tif", operator, levels=3)
    assert done.complete
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tif", "out.tif"]
    with rasterio.open(tmp_path / "out.tif") as made:
        assert (made.nodata, made.crs.to_string(), tuple(made.transform)[:6]) == (NODATA, CRS, TRANSFORM)
        assert made.overviews(1) == [2, 4, 8]
        assert made.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        np.testing.assert_array_equal(made.read(), x)
    for got, factor in zip(overviews(tmp_path / "out.tif"), (2, 4, 8), strict=True):
        np.testing.assert_array_equal(got, reference.exact(x, operator, (1, factor, factor), NODATA))


def test_nan_is_nodata_where_the_raster_says_so_or_the_caller_does(tmp_path, x):
    x = np.where(x == NODATA, np.nan, x).astype("float32")
    raster(tmp_path / "in.tif", x, nodata=np.nan)
    raster(tmp_path / "unsaid.tif", x, nodata=None)
    ap.pyramid(tmp_path / "in.tif", tmp_path / "out.tif", levels=1)
    ap.pyramid(tmp_path / "unsaid.tif", tmp_path / "said.tif", levels=1, nodata=np.nan)
    expected = reference.exact(x, "mean", (1, 2, 2), np.nan)
    for name in ("out", "said"):
        np.testing.assert_allclose(overviews(tmp_path / f"{name}.tif")[0], expected, rtol=1e-6)
        with rasterio.open(tmp_path / f"{name}.tif") as made:
            assert np.isnan(made.nodata)


def test_a_palette_gets_the_mode_and_the_reason(tmp_path, rng):
    x = rng.integers(0, 4, (1, 40, 40), dtype="uint8")
    source = raster(tmp_path / "in.tif", x, nodata=None)
    with rasterio.open(source, "r+") as made:
        made.write_colormap(1, {n: (60 * n, 0, 0, 255) for n in range(4)})
    done = ap.pyramid(source, tmp_path / "out.tif", levels=1)
    assert done.operator == "mode"
    assert done.notes[0].startswith("the raster has a palette")
    np.testing.assert_array_equal(overviews(tmp_path / "out.tif")[0], reference.exact(x, "mode", (1, 2, 2)))
    with rasterio.open(tmp_path / "out.tif") as made:
        assert made.colormap(1)[2] == (120, 0, 0, 255)


def test_a_raster_that_was_interrupted_goes_on_and_one_that_is_there_is_kept(tmp_path, x):
    source, target = raster(tmp_path / "in.tif", x), tmp_path / "out.tif"
    first = ap.pyramid(source, target, levels=2, memory=12_000, part="1/2")
    assert (first.complete, target.exists()) == (False, False)
    second = ap.pyramid(source, target, levels=2, memory=12_000, part="2/2")
    assert (second.complete, target.exists()) == (True, True)
    assert ap.pyramid(source, target, levels=2).computed == 0
    with pytest.raises(ValueError, match=r"destination must be new, got .*: resume=False replaces it"):
        ap.pyramid(source, target, "max", levels=2)
    ap.pyramid(source, target, "max", levels=1, resume=False)
    np.testing.assert_array_equal(overviews(target)[0], reference.exact(x, "max", (1, 2, 2), NODATA))


def test_a_damaged_raster_is_said(tmp_path, x):
    source = raster(tmp_path / "in.tif", np.tile(x, (1, 8, 8)), compress="deflate", tiled=True)
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) // 2])
    with pytest.raises((ValueError, ap.pyramids.IncompletePyramid), match=r"in\.tif"):
        ap.pyramid(source, tmp_path / "out.tif", levels=2)
    assert not (tmp_path / "out.tif").exists()


def test_what_cannot_be_is_refused_in_words(tmp_path, x):
    source = raster(tmp_path / "in.tif", x)
    (tmp_path / "text.tif").write_text("no raster")
    masked = raster(tmp_path / "masked.tif", x, nodata=None)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(masked, "r+") as made:
        made.write_mask(x[0] > 3)
    for arguments, message in [
        ((source,), "destination must be a .tif to write"),
        ((source, source), "destination must not be source"),
        ((source, tmp_path / "nowhere" / "out.tif"), "in a directory that exists"),
        ((source, tmp_path / "out.tif", "sum"), "operator must keep the dtype"),
        ((tmp_path / "text.tif", tmp_path / "out.tif"), "source must be a GeoTIFF"),
        ((masked, tmp_path / "out.tif"), "source must mark missing pixels by a nodata value"),
    ]:
        with pytest.raises(ValueError, match=message):
            ap.pyramid(*arguments)
    with pytest.raises(ValueError, match="ome must be left away where source is a GeoTIFF"):
        ap.pyramid(source, tmp_path / "out.tif", ome="0.5")
