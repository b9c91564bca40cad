"""The metadata of pyramids are valid OME-Zarr, other libraries read them, and what is no image is refused in words."""

import numpy as np
import pyramids as reference
import pytest

import anypool as ap

zarr = pytest.importorskip("zarr")
storage = pytest.importorskip("zarr.storage")

OME = {
    "axes": [
        {"name": "c", "type": "channel"},
        {"name": "z", "type": "space", "unit": "micrometer"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ],
    "datasets": [
        {
            "path": "s0",
            "coordinateTransformations": [
                {"type": "scale", "scale": [1.0, 2.0, 0.5, 0.5]},
                {"type": "translation", "translation": [0.0, 10.0, 20.0, 30.0]},
            ],
        }
    ],
    "name": "cells",
}


def ome_image(place, x, version="0.5", labels=False, datasets=None):
    """An OME-Zarr image of one level."""
    entry = {**OME, "datasets": datasets or OME["datasets"]}
    beside = {"image-label": {"version": version}} if labels else {}
    group = zarr.create_group(place, zarr_format=3 if version == "0.5" else 2)
    settings = {"dimension_names": list("czyx")} if version == "0.5" else {"chunk_key_encoding": SEPARATED}
    group.create_array("s0", shape=x.shape, chunks=(1, 4, 8, 8), dtype=x.dtype, **settings)[...] = x
    if version == "0.5":
        group.update_attributes({"ome": {"version": version, "multiscales": [entry], "omero": OMERO, **beside}})
    else:
        group.update_attributes({"multiscales": [{"version": version, **entry}], "omero": OMERO, **beside})
    return group


SEPARATED = {"name": "v2", "separator": "/"}
OMERO = {
    "channels": [
        {"color": "FFFFFF", "active": True, "label": str(c), "window": {"min": 0, "max": 9, "start": 0, "end": 9}}
        for c in range(2)
    ]
}


@pytest.fixture
def x(rng):
    return rng.integers(0, 1000, (2, 7, 20, 21), dtype="uint16")


def multiscales(group):
    attributes = dict(group.attrs)
    return attributes.get("ome", attributes)["multiscales"][0]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("copies", [False, True])
def test_other_libraries_validate_and_read_what_is_written(tmp_path, x, version, copies):
    models = pytest.importorskip("ome_zarr_models")
    source, place = ome_image(tmp_path / "in.zarr", x, version), tmp_path / ("out.zarr" if copies else "in.zarr")
    done = ap.pyramid(tmp_path / "in.zarr", place if copies else None, levels=2, ome=version)
    assert done.complete
    group = zarr.open_group(place, mode="r")
    found = models.open_ome_zarr(group)
    assert found.ome_zarr_version == version
    entry = multiscales(group)
    assert [each["path"] for each in entry["datasets"]] == (["0", "1", "2"] if copies else ["s0", "s1", "s2"])
    assert (entry["name"], entry["type"], entry["axes"]) == ("cells", "mean", OME["axes"])
    assert entry["metadata"]["method"] == "anypool.pyramid"
    assert entry["metadata"]["version"] == ap.__version__
    assert entry["datasets"][2]["coordinateTransformations"] == [
        {"type": "scale", "scale": [1.0, 8.0, 2.0, 2.0]},
        {"type": "translation", "translation": [0.0, 10.0 + 3.0, 20.0 + 0.75, 30.0 + 0.75]},
    ]
    if version == "0.5":
        assert group[entry["datasets"][1]["path"]].metadata.dimension_names == tuple("czyx")
    assert dict(source.attrs).get("ome", dict(source.attrs))["omero"] == OMERO
    expected = [x, *(reference.exact(x, "mean", (1, f, f, f)) for f in (2, 4))]
    check_with_ome_zarr(place, expected)
    check_with_ngff_zarr(place, expected, version)


def check_with_ome_zarr(place, expected):
    io, reader = pytest.importorskip("ome_zarr.io"), pytest.importorskip("ome_zarr.reader")
    node = next(iter(reader.Reader(io.parse_url(place))()))
    assert len(node.data) == len(expected)
    for got, level in zip(node.data, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(got), level)


def check_with_ngff_zarr(place, expected, version):
    ngff_zarr = pytest.importorskip("ngff_zarr")
    found = ngff_zarr.from_ngff_zarr(str(place), version=version)
    for image, level in zip(found.images, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(image.data), level)
    assert found.images[2].scale == {"c": 1.0, "z": 8.0, "y": 2.0, "x": 2.0}
    assert found.images[2].translation == {"c": 0.0, "z": 13.0, "y": 20.75, "x": 30.75}


def test_labels_get_their_mode_and_the_reason_is_said(tmp_path, rng):
    x = rng.integers(0, 3, (1, 6, 10, 10), dtype="uint16")
    group = ome_image(tmp_path / "in.zarr", x, labels=True)
    done = ap.pyramid(tmp_path / "in.zarr", levels=1)
    assert done.operator == "mode"
    assert done.notes == (
        "the image holds labels (image-label): no mean of labels is one, so every level is their mode",
    )
    np.testing.assert_array_equal(group["s1"][...], reference.exact(x, "mode", (1, 2, 2, 2)))
    assert "image-label" in dict(zarr.open_group(tmp_path / "in.zarr", mode="r").attrs)["ome"]
    assert ap.pyramid(tmp_path / "in.zarr", operator="max", levels=1, resume=False).operator == "max"


def test_a_second_call_finds_all_done_and_other_settings_need_resume_false(tmp_path, x):
    group = ome_image(tmp_path / "in.zarr", x)
    ap.pyramid(group, levels=2)
    again = ap.pyramid(tmp_path / "in.zarr", levels=2)
    assert (again.computed, again.complete) == (0, True)
    with pytest.raises(ValueError, match=r"must not have levels yet, got s1, s2: resume=False replaces them"):
        ap.pyramid(group, operator="max", levels=3)
    ap.pyramid(zarr.open_group(tmp_path / "in.zarr", mode="r+"), operator="max", levels=1, resume=False)
    group = zarr.open_group(tmp_path / "in.zarr", mode="r")
    assert sorted(group.array_keys()) == ["s0", "s1"]
    assert multiscales(group)["type"] == "max"
    assert len(multiscales(group)["datasets"]) == 2


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_consolidated_metadata_are_consolidated_again(tmp_path, x):
    ome_image(tmp_path / "in.zarr", x)
    zarr.consolidate_metadata(tmp_path / "in.zarr")
    ap.pyramid(tmp_path / "in.zarr", levels=1)
    group = zarr.open_consolidated(tmp_path / "in.zarr", mode="r")
    assert sorted(group.array_keys()) == ["s0", "s1"]
    assert len(multiscales(group)["datasets"]) == 2


def plain(x):
    return reference.in_memory(x, (4, 4))


SQUARE = np.zeros((8, 8), "uint8")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ap.pyramid("nowhere.zarr"), ValueError, "source must be there, got 'nowhere.zarr'"),
        (lambda: ap.pyramid("nowhere.tif", "out.tif"), ValueError, "source must be there, got 'nowhere.tif'"),
        (lambda: ap.pyramid(plain(SQUARE)["0"]), ValueError, "source must be a group, .* got the array"),
        (lambda: ap.pyramid(SQUARE), ValueError, "destination must be given"),
        (lambda: ap.pyramid([[1, 2]]), TypeError, "source must be a path, a zarr group or array, .* got list"),
        (lambda: ap.pyramid(plain(SQUARE), operator="gem"), ValueError, "operator must be one of mean, .* got 'gem'"),
        (lambda: ap.pyramid(plain(SQUARE), operator=ap.Median("mean")), ValueError, "without settings"),
        (lambda: ap.pyramid(plain(SQUARE), factors=1), ValueError, "factors must be between 2 and"),
        (lambda: ap.pyramid(plain(SQUARE), factors=(2, 2, 2)), ValueError, "one entry per axis yx"),
        (lambda: ap.pyramid(plain(SQUARE), factors={"z": 2}), ValueError, "factors must be of the axes yx, got .*'z'"),
        (lambda: ap.pyramid(plain(SQUARE), factors="odd"), ValueError, "factors must be an integer, .* got 'odd'"),
        (lambda: ap.pyramid(plain(SQUARE), factors=(1, 1)), ValueError, "source must have an axis to reduce"),
        (lambda: ap.pyramid(plain(SQUARE), levels=9), ValueError, "levels must be at most 3, got 9"),
        (lambda: ap.pyramid(plain(SQUARE), levels=0), ValueError, "levels must be between 1"),
        (lambda: ap.pyramid(plain(SQUARE), levels="all"), ValueError, "levels must be an integer or 'auto', got 'all'"),
        (lambda: ap.pyramid(plain(SQUARE), memory="2 apples"), ValueError, "memory must be .* got '2 apples'"),
        (lambda: ap.pyramid(plain(SQUARE), memory=100, levels=3), ValueError, "memory must hold two windows of level"),
        (lambda: ap.pyramid(plain(SQUARE), part="3/2"), ValueError, "part must be i/n with i from 1 to n, got 3/2"),
        (lambda: ap.pyramid(plain(SQUARE), part="half"), ValueError, "part must be i/n, .* got 'half'"),
        (lambda: ap.pyramid(plain(SQUARE), part="1/2", resume=False), ValueError, "resume must be True with part"),
        (lambda: ap.pyramid(plain(SQUARE), ome="0.3"), ValueError, "ome must be one of 0.4, 0.5, got '0.3'"),
        (lambda: ap.pyramid(plain(SQUARE), ome="0.4"), ValueError, "ome must be 0.5 in place, .* got 0.4"),
        (lambda: ap.pyramid(plain(SQUARE), nodata=300), ValueError, "nodata must be a value of uint8, got 300"),
        (lambda: ap.pyramid(plain(SQUARE), nodata="0"), TypeError, "nodata must be a number"),
        (lambda: ap.pyramid(plain(SQUARE), axes="cy"), ValueError, "axes must name the 2 axes"),
        (lambda: ap.pyramid(plain(SQUARE.astype("f4")), operator="mode"), TypeError, "integer labels for mode"),
        (lambda: ap.pyramid(plain(SQUARE.astype("c8"))), TypeError, "source must hold integers"),
        (lambda: ap.pyramid(plain(SQUARE.astype(bool))), TypeError, "source must hold numbers for mean"),
        (lambda: ap.pyramid(plain(SQUARE), plain(SQUARE + 1)), ValueError, "destination must be new"),
        (lambda: ap.pyramid(plain(SQUARE), 3), TypeError, "destination must be a path or a zarr group, got int"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("key", ["plate", "well", "bioformats2raw.layout"])
def test_a_collection_is_no_image(key):
    group = plain(SQUARE)
    group.update_attributes({"ome": {"version": "0.5", key: {}}})
    with pytest.raises(ValueError, match="source must be one image, got"):
        ap.pyramid(group)


def test_a_read_only_store_is_refused(tmp_path, x):
    ome_image(tmp_path / "in.zarr", x)
    store = storage.LocalStore(tmp_path / "in.zarr", read_only=True)
    with pytest.raises(ValueError, match="source must be writable where no destination is given"):
        ap.pyramid(zarr.open_group(store, mode="r"))
    done = ap.pyramid(zarr.open_group(store, mode="r"), tmp_path / "out.zarr", levels=1)
    assert done.complete


def test_booleans_have_modes_and_extremes(rng):
    x = rng.random((9, 9)) < 0.5
    for operator in ("mode", "max", "min", "median"):
        group = reference.in_memory(x, (4, 4))
        ap.pyramid(group, operator=operator, levels=1)
        np.testing.assert_array_equal(group["1"][...], reference.exact(x, operator, (2, 2)))
