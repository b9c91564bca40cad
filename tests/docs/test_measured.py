"""What docs/measured.md says in words is borne out by the results files that its numbers come from."""

import sys
from pathlib import Path

import pytest
from processes import ROOT

sys.path.append(str(ROOT / "docs" / "_ext"))
measured = pytest.importorskip("measured", exc_type=ImportError)

PAGE = (ROOT / "docs" / "measured.md").read_text()
SETS = [("digits", "as given"), ("digits", "inverted"), ("mnist", "as given")]


def mean(name, polarity, pool, measure):
    return measured.row_of(name, polarity, pool).measures[measure].mean


def p_of(name, polarity, one, other, measure):
    from anypool.lab.summary import paired_p

    pair = (measured.row_of(name, polarity, pool) for pool in (one, other))
    return paired_p(*pair, measured.results(name).settings["test_images"], measure)


@pytest.mark.parametrize(("name", "polarity"), SETS)
def test_there_are_enough_runs(name, polarity):
    rows = measured.rows(name, polarity)
    assert len(rows) >= 12
    assert all(row.seeds == 3 for row in rows if name == "digits" or row.pool in ("max", "min", "average", "maxblur"))


def test_no_machine_paths_are_in_the_files():
    for name in ("digits", "mnist"):
        assert Path(measured.results(name).settings["data"]).name == measured.results(name).settings["data"]


def test_max_has_the_higher_mean_on_both_backgrounds_and_neither_is_sure():
    assert measured.claims("digits").count("max is higher") == 2
    assert measured.claims("digits").count("may be noise") == 2


def test_on_mnist_max_is_ahead_of_min_for_sure():
    assert "max is higher" in measured.claims("mnist")
    assert "beyond what seeds explain" in measured.claims("mnist")


def test_average_loses_accuracy_and_not_information():
    for polarity in ("as given", "inverted"):
        assert mean("digits", polarity, "average", "accuracy") < mean("digits", polarity, "max", "accuracy") - 0.03
        assert p_of("digits", polarity, "average", "max", "accuracy") < 0.05
    assert p_of("mnist", "as given", "average", "max", "accuracy") < 0.05
    errors = {
        row.pool: row.measures["error_linear"].mean
        for row in measured.rows("digits", "as given")
        if "error_linear" in row.measures
    }
    assert min(errors, key=errors.get) == "average"
    assert errors["min"] > max(errors["max"], errors["median"])
    curve = [epoch.mean for epoch in measured.row_of("digits", "as given", "average").curve]
    assert curve[-1] > curve[-6]


@pytest.mark.parametrize(("name", "polarity"), SETS)
def test_a_blur_after_a_max_buys_consistency(name, polarity):
    assert mean(name, polarity, "maxblur", "consistency") > mean(name, polarity, "max", "consistency")
    assert p_of(name, polarity, "maxblur", "max", "consistency") < 0.05
    assert abs(mean(name, polarity, "maxblur", "accuracy") - mean(name, polarity, "max", "accuracy")) < 0.01


def test_it_costs_memory():
    for measure in ("saved_bytes", "peak_bytes"):
        assert mean("digits", "as given", "maxblur", measure) > mean("digits", "as given", "max", measure)
    assert mean("digits", "as given", "maxblur", "aliasing") < mean("digits", "as given", "max", "aliasing")


def test_a_blur_alone_may_be_no_better_than_an_average():
    assert p_of("digits", "as given", "blur:filter_size=3", "average", "consistency") > 0.05
    assert (
        mean("digits", "as given", "blur:filter_size=3", "accuracy")
        < mean("digits", "as given", "max", "accuracy") - 0.03
    )


def test_what_costs_most_is_not_the_most_accurate():
    saved = {row.pool: row.measures["saved_bytes"].mean for row in measured.rows("digits", "as given")}
    assert sorted(saved, key=saved.get)[-2:] == ["gem", "adapool"]
    assert min(saved.values()) == saved["average"]
    for pool in ("gem", "adapool", "strided"):
        assert mean("digits", "as given", pool, "accuracy") <= mean("digits", "as given", "max", "accuracy")


def test_every_number_of_the_page_is_there():
    import re

    places = re.findall(r"\{(measured|difference)\}`([^`]+)`", PAGE.replace("\n", " "))
    assert len(places) > 20
    for kind, place in places:
        made = {"measured": measured.number, "difference": measured.difference}[kind](place)
        assert made != "—"


def test_commands_are_those_that_made_the_files():
    start = "anypool compare --data digits --invert --epochs 20 --out digits --seeds 3 --pool max,min,average,"
    assert measured.command("digits").startswith(start)
    for line in measured.command("mnist").splitlines():
        assert line.startswith("anypool compare --data mnist-10k.npz --epochs 2 --out mnist --seeds ")
