"""Whatever happens to a run, no pixel is wrong, one sentence says what happened, and the same call goes on."""

import errno
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyramids as reference
import pytest
from processes import ROOT, changed_environment

import anypool as ap
from anypool.pyramids import IncompletePyramid

zarr = pytest.importorskip("zarr")

from anypool.pyramids.job import workers_here  # noqa: E402

SCRIPT = ROOT / "tests" / "support" / "pyramid_process.py"
MEMORY = 60_000  # as in pyramid_process
SHAPE, CHUNKS = (40, 34, 31), (8, 8, 8)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(7).integers(0, 5, SHAPE, dtype="uint8")


@pytest.fixture(scope="module")
def expected(x):
    """The levels, from a pyramid made in one go."""
    found = {}
    for operator in ("mean", "mode"):
        group = reference.in_memory(x, CHUNKS)
        ap.pyramid(group, operator=operator, levels=3)
        found[operator] = reference.levels(group, 3)
    return found


def check(place, expected):
    group = zarr.open_group(place, mode="r")
    assert sorted(dict(group.members())) == ["0", "1", "2", "3"]
    assert list(Path(place).rglob("*.partial*")) == []
    assert [each["path"] for each in group.attrs["ome"]["multiscales"][0]["datasets"]] == ["0", "1", "2", "3"]
    for got, level in zip(reference.levels(group, 3), expected, strict=True):
        np.testing.assert_array_equal(got, level, strict=True)


def start(place, kill, after, operator="mean", *part):
    return subprocess.Popen(
        [sys.executable, SCRIPT, str(place), str(kill), str(after), operator, *part],
        env=changed_environment({"OMP_NUM_THREADS": "1"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, error = process.communicate(timeout=120)
    assert process.returncode in (0, -signal.SIGKILL), error
    return tuple(map(eval, out.split())) if process.returncode == 0 else None


def killed_and_resumed(place, x, expected, kills, operator):
    """Runs killed one after another, each somewhere in what the last has left, and one that finishes."""
    reference.image(place, x, CHUNKS)
    rng = np.random.default_rng(len(kills))
    for kill in kills:
        assert finish(start(place, int(kill), int(rng.integers(2)), operator)) is None
        attributes = dict(zarr.open_group(place, mode="r").attrs)
        assert "ome" not in attributes, "levels that are not whole are not named"
    done = ap.pyramid(place, operator=operator, levels=3, memory=MEMORY * workers_here())  # each with the script's
    assert done.complete
    check(place, expected[operator])
    return done


def test_a_killed_process_goes_on_where_it_was(tmp_path, x, expected):
    done = killed_and_resumed(tmp_path / "a.zarr", x, expected, [4, 30], "mean")
    assert 0 < done.computed < done.blocks


def test_metadata_that_someone_was_killed_in_writing_go(tmp_path, x, expected):
    """In the image's own group, beside its levels."""
    reference.image(tmp_path / "a.zarr", x, CHUNKS)
    (tmp_path / "a.zarr" / "zarr.6beda7b97bc94d0897ccfdaa09b855ad.partial").write_bytes(b"{")
    ap.pyramid(tmp_path / "a.zarr", levels=3, memory=MEMORY)
    check(tmp_path / "a.zarr", expected["mean"])


@pytest.mark.slow
@pytest.mark.parametrize("operator", ["mean", "mode"])
def test_a_process_killed_twenty_times_goes_on_where_it_was(tmp_path, operator):
    x = np.random.default_rng(8).integers(0, 5, (70, 66, 61), dtype="uint8")
    group = reference.in_memory(x, CHUNKS)
    ap.pyramid(group, operator=operator, levels=3)
    kills = np.random.default_rng(3).integers(1, 12, 20)
    killed_and_resumed(tmp_path / "a.zarr", x, {operator: reference.levels(group, 3)}, kills, operator)


def test_parts_need_no_scheduler_and_the_last_one_finishes(tmp_path, x, expected):
    reference.image(tmp_path / "a.zarr", x, CHUNKS)
    done = [ap.pyramid(tmp_path / "a.zarr", levels=3, memory=MEMORY, part=f"{i}/4") for i in (3, 1, 4, 2)]
    assert [each.complete for each in done] == [False, False, False, True]
    assert sum(each.computed for each in done) == done[0].blocks
    check(tmp_path / "a.zarr", expected["mean"])
    again = ap.pyramid(tmp_path / "a.zarr", levels=3, memory=MEMORY, part="2/4")
    assert (again.complete, again.computed) == (True, 0)


def test_two_at_once_do_the_same_work_and_disturb_nothing(tmp_path, x, expected):
    """Two parts, and one who does all, in threads; the same files are made, written and removed by all three."""
    reference.image(tmp_path / "a.zarr", x, CHUNKS)
    done, failed = [], []

    def run(part):
        try:
            done.append(ap.pyramid(tmp_path / "a.zarr", levels=3, memory=MEMORY, part=part))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(part,)) for part in ("1/2", "2/2", None)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert any(each.complete for each in done)
    check(tmp_path / "a.zarr", expected["mean"])


@pytest.mark.slow
def test_two_processes_at_once_and_one_is_killed(tmp_path, x, expected):
    for kill in (5, 15, 20):  # of the 25 writes and more that are the first process's alone
        place = tmp_path / f"{kill}.zarr"
        reference.image(place, x, CHUNKS)
        running = [start(place, kill, 0, "mean", "1/2"), start(place, 0, 0, "mean", "2/2")]
        assert [finish(each) is None for each in running] == [True, False]
        assert finish(start(place, 0, 0, "mean", "1/2"))[3]
        check(place, expected["mean"])


@pytest.mark.parametrize("when", [0, 20, 50])
def test_a_full_disk_is_said_and_the_same_call_goes_on(tmp_path, x, expected, monkeypatch, when):
    reference.image(tmp_path / "a.zarr", x, CHUNKS)
    written, rename = 0, Path.replace

    def replace(self, target):
        nonlocal written
        written += 1
        if written > when:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace)
        with pytest.raises((IncompletePyramid, OSError), match="No space left on device") as caught:
            ap.pyramid(tmp_path / "a.zarr", levels=3, memory=MEMORY)
    assert "\n" not in str(caught.value)
    assert ap.pyramid(tmp_path / "a.zarr", levels=3, memory=MEMORY).complete
    check(tmp_path / "a.zarr", expected["mean"])


@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_a_corrupt_chunk_is_named_the_others_are_done_and_the_same_call_goes_on(tmp_path, x, expected, damage):
    reference.image(tmp_path / "a.zarr", x, CHUNKS)
    chunk = tmp_path / "a.zarr" / "0" / "c" / "4" / "3" / "2"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    said = r"1 of \d+ superblocks could not be computed, .*cannot be read at \["
    with pytest.raises(IncompletePyramid, match=said) as caught:
        ap.pyramid(tmp_path / "a.zarr", levels=3, memory=MEMORY)
    assert "\n" not in str(caught.value)
    region = [tuple(map(int, part.split(":"))) for part in re.search(r"at \[(.*?)\]", str(caught.value))[1].split(", ")]
    assert all(low <= n < high for n, (low, high) in zip((32, 24, 16), region, strict=True))
    chunk.write_bytes(whole)
    done = ap.pyramid(tmp_path / "a.zarr", levels=3, memory=MEMORY)
    assert (done.computed, done.complete) == (1, True)
    check(tmp_path / "a.zarr", expected["mean"])


def test_a_place_that_cannot_be_written_is_said_before_any_work(tmp_path, x, monkeypatch):
    reference.image(tmp_path / "a.zarr", x, CHUNKS)

    def refuse(self, *arguments, **settings):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match=r"a\.zarr cannot be written: Permission denied"):
        ap.pyramid(tmp_path / "a.zarr", levels=3)


def test_other_settings_do_not_mix_with_what_was_begun(tmp_path, x):
    group = reference.image(tmp_path / "a.zarr", x, CHUNKS)
    ap.pyramid(group, levels=2, memory=MEMORY, part="1/2")
    with pytest.raises(ValueError, match="an unfinished pyramid with operator mean is there, not max"):
        ap.pyramid(tmp_path / "a.zarr", operator="max", levels=2)
    with pytest.raises(ValueError, match=r"an unfinished pyramid with factors .* is there, not"):
        ap.pyramid(tmp_path / "a.zarr", levels=3)
    with pytest.raises(ValueError, match="memory must hold two of the superblocks"):
        ap.pyramid(tmp_path / "a.zarr", levels=2, memory=MEMORY // 10)
    done = ap.pyramid(tmp_path / "a.zarr", levels=2, part="2/2")  # with more memory the superblocks stay
    assert done.complete
    assert done.computed < done.blocks


def test_ctrl_c_stops_and_the_same_call_goes_on(tmp_path, x, expected):
    reference.image(tmp_path / "a.zarr", x, CHUNKS)

    def interrupt(done, total, what):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ap.pyramid(tmp_path / "a.zarr", levels=3, memory=MEMORY, progress=interrupt)
    assert ap.pyramid(tmp_path / "a.zarr", levels=3, memory=MEMORY).complete
    check(tmp_path / "a.zarr", expected["mean"])
