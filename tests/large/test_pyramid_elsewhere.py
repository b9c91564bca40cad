"""Pyramids on a cluster, within a limit of memory, and without what they need."""

import numpy as np
import pyramids as reference
import pytest
from processes import run_python

import anypool as ap

zarr = pytest.importorskip("zarr")
distributed = pytest.importorskip("distributed")

X = np.random.default_rng(3).integers(0, 9, (40, 34, 31), dtype="uint8")


def expected(operator):
    group = reference.in_memory(X, (8, 8, 8))
    ap.pyramid(group, operator=operator, levels=3)
    return reference.levels(group, 3)


def check(place, operator="mean"):
    group = zarr.open_group(place, mode="r")
    assert sorted(dict(group.members())) == ["0", "1", "2", "3"]
    for got, level in zip(reference.levels(group, 3), expected(operator), strict=True):
        np.testing.assert_array_equal(got, level, strict=True)


@pytest.mark.filterwarnings("ignore")  # distributed's own, as it closes
def test_workers_of_a_cluster_compute_the_superblocks(tmp_path):
    reference.image(tmp_path / "a.zarr", X, (8, 8, 8))
    cluster = {"processes": False, "n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.Client(**cluster) as client:
        done = ap.pyramid(tmp_path / "a.zarr", levels=3, memory=60_000, client=client)
        assert done.complete
        assert done.blocks > 2
        check(tmp_path / "a.zarr")
        with pytest.raises(ValueError, match="must be storage that a cluster's workers reach, got memory"):
            ap.pyramid(reference.in_memory(X, (8, 8, 8)), client=client)
        chunk = tmp_path / "a.zarr" / "0" / "c" / "0" / "0" / "0"
        chunk.write_bytes(b"rubbish")
        with pytest.raises(ap.pyramids.IncompletePyramid, match="cannot be read at"):
            ap.pyramid(tmp_path / "a.zarr", levels=3, memory=60_000, client=client, resume=False)


def test_a_scheduler_that_does_not_answer_is_said(tmp_path, monkeypatch):
    def client(address, timeout):
        raise OSError(f"Timed out trying to connect to {address}")

    monkeypatch.setattr(distributed, "Client", client)
    reference.image(tmp_path / "a.zarr", X, (8, 8, 8))
    with pytest.raises(
        ValueError, match="client must be the address of a scheduler that answers, got 'tcp://localhost:1'"
    ):
        ap.pyramid(tmp_path / "a.zarr", client="tcp://localhost:1")


KILLED_WORKER = """
import os, signal, sys, threading, time
import anypool as ap
from distributed import Client, LocalCluster

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        pids = list(client.run(os.getpid).values())
        def progress(done, total, what):
            if done == 3 and pids:
                os.kill(pids.pop(), signal.SIGKILL)
        done = ap.pyramid(sys.argv[1], levels=3, memory=60_000, client=client, progress=progress)
        assert done.complete and len(pids) < 2, (done, pids)
        print("complete")
"""


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(tmp_path):
    reference.image(tmp_path / "a.zarr", X, (8, 8, 8))
    script = tmp_path / "script.py"
    script.write_text(KILLED_WORKER)
    done = run_python(script, tmp_path / "a.zarr", timeout=200)
    assert "complete" in done.stdout, done.stderr
    check(tmp_path / "a.zarr")


LIMITED = """
import resource, sys, zarr
import anypool as ap

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

ap.set_num_threads(2)
import anypool.pyramids.images
resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30))
before = peak()
done = ap.pyramid(sys.argv[1], levels=3, memory=sys.argv[2])
assert done.complete
print(before, peak())
"""


def repeated(place, side, chunk, of):
    """A volume whose chunks are all the same file: as large as wanted, at no cost."""
    group = zarr.create_group(place)
    array = group.create_array("0", shape=(side,) * 3, chunks=(chunk,) * 3, dtype="uint16")
    array[:chunk, :chunk, :chunk] = of
    first = place / "0" / "c" / "0" / "0" / "0"
    for at in np.ndindex(*(side // chunk,) * 3):
        path = place.joinpath("0", "c", *map(str, at))
        path.parent.mkdir(parents=True, exist_ok=True)
        if path != first:
            path.symlink_to(first)
    return group


def memory_taken(tmp_path, side, memory):
    rng = np.random.default_rng(0)
    of = rng.integers(0, 4096, (128, 128, 128), dtype="uint16")
    place = tmp_path / f"{side}.zarr"
    repeated(place, side, 128, of)
    done = run_python("-c", LIMITED, place, memory, timeout=550, OMP_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr
    before, peak = map(int, done.stdout.split())
    group = zarr.open_group(place, mode="r")
    part = slice(0, 64), slice(-64, None), slice(64, 128)
    np.testing.assert_array_equal(group["1"][part], ap.avg_pool(of, (2, 2, 2), dtype="uint16"))
    return peak - before


@pytest.mark.slow
def test_memory_is_within_what_was_given_whatever_the_size(tmp_path):
    """16 GiB within 1 GiB, of which pyramids may take 512 MiB."""
    small, large = (memory_taken(tmp_path, side, "512MiB") for side in (512, 2048))
    assert large < 512 * 2**20
    assert large < small + 128 * 2**20


WITHOUT = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
import anypool as ap
try:
    ap.pyramid({source!r}, {destination!r}, client={client!r})
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("blocked", "extra", "source", "client"),
    [
        ("zarr", "pyramid", "a.zarr", None),
        ("rasterio", "raster", "a.tif", None),
        ("distributed", "cluster", "a.zarr", "tcp://localhost:1"),
    ],
)
def test_what_is_not_installed_is_named_with_what_to_install(blocked, extra, source, client):
    done = run_python("-c", WITHOUT.format(blocked=blocked, source=source, destination="out.tif", client=client))
    assert f'ap.pyramid needs {blocked}: pip install "anypool[{extra}]"' in done.stdout + done.stderr
