"""`anypool pyramid`, as someone types it."""

import numpy as np
import pyramids as reference
import pytest

pytest.importorskip("zarr")
pytest.importorskip("typer")

import zarr

from anypool import cli

X = np.random.default_rng(1).integers(0, 9, (20, 22), dtype="uint8")


def command(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["pyramid", *map(str, arguments)])
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def test_levels_are_added_in_place_and_said(tmp_path, capsys):
    reference.image(tmp_path / "in.zarr", X, (8, 8))
    code, out, err = command(capsys, tmp_path / "in.zarr", "--operator", "max", "--levels", 2, "--factors", "2,3")
    assert (code, err) == (0, "")
    assert "level 1: 10 × 8\nlevel 2: 5 × 3\n" in out
    assert out.rstrip().endswith("in.zarr: 1 of 1 superblocks computed now; complete")
    group = zarr.open_group(tmp_path / "in.zarr", mode="r")
    np.testing.assert_array_equal(group["2"][...], reference.exact(X, "max", (4, 9)))


def test_parts_version_and_destination(tmp_path, capsys):
    reference.image(tmp_path / "in.zarr", X, (8, 8))
    options = ("--ome", "0.4", "--memory", "2KB", "--levels", 2, "--resume")
    code, out, _ = command(capsys, tmp_path / "in.zarr", tmp_path / "out.zarr", "--part", "1/2", *options)
    assert (code, "not complete: other parts remain" in out) == (0, True)
    code, out, _ = command(capsys, tmp_path / "in.zarr", tmp_path / "out.zarr", "--part", "2/2", *options)
    assert (code, "complete" in out) == (0, True)
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    assert group.metadata.zarr_format == 2
    np.testing.assert_array_equal(group["2"][...], reference.exact(X, "mean", (4, 4)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--operator", "gem"), "operator must be one of mean"),
        (("--levels", "many"), "levels must be a number, got 'many'"),
        (("--factors", "2,x"), "factors must be a number, got 'x'"),
        (("--nodata", "none"), "nodata must be a number, got 'none'"),
        (("--part", "5/4"), "part must be i/n"),
        (("--memory", "lots"), "memory must be a number of bytes"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(tmp_path, capsys, options, message):
    reference.image(tmp_path / "in.zarr", X, (8, 8))
    code, out, err = command(capsys, tmp_path / "in.zarr", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_what_cannot_be_read_is_one_line_and_code_1(tmp_path, capsys):
    reference.image(tmp_path / "in.zarr", X, (8, 8))
    (tmp_path / "in.zarr" / "0" / "c" / "1" / "1").write_bytes(b"rubbish")
    code, out, err = command(capsys, tmp_path / "in.zarr", "--levels", 2)
    assert (code, out) == (1, "")
    assert "cannot be read at" in err
    assert "the same call goes on from there" in err
    assert err.count("\n") == 1
