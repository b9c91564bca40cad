"""What poolings are called on the command line, and what becomes of the names."""

import pytest

import anypool as ap
from anypool.lab.poolings import STRIDED, candidate, candidates, operators_of, split_names


@pytest.mark.parametrize(("text", "names"), [
    ("", []),
    ("  ", []),
    ("max", ["max"]),
    (" max , min", ["max", "min"]),
    ("max,,min", ["max", "", "min"]),
    ("gem:p=3", ["gem:p=3"]),
    ("gem:p=3,eps=1e-6", ["gem:p=3,eps=1e-6"]),
    ("max,gem:p=3, eps=1e-6 ,median,lp:p=2", ["max", "gem:p=3,eps=1e-6", "median", "lp:p=2"]),
    ("gem:p=3,gem:p=4,eps=1e-3", ["gem:p=3", "gem:p=4,eps=1e-3"]),
    ("mine:Class,max", ["mine:Class", "max"]),
    ("p=3,max", ["p=3", "max"]),
])  # fmt: skip
def test_settings_keep_their_commas(text, names):
    assert split_names(text) == names


@pytest.mark.parametrize("name", sorted(ap.OPERATORS))
def test_every_operator_has_its_name(name):
    found = candidate(name)
    assert found.operator == ap.OPERATORS[name]()
    everywhere = ("sliding", "global", "adaptive", "strided")
    assert found.kinds == (("sliding", "strided") if found.operator.composed else everywhere)


def test_settings_are_those_of_the_text():
    assert candidate("gem:p=4,eps=1e-3").operator == ap.GeM(4, 1e-3)
    assert candidate(STRIDED).operator is None
    assert operators_of(["max", STRIDED, "original", "median"]) == [("max", ap.Max()), ("median", ap.Median())]


OWN = """
import anypool as ap
from dataclasses import dataclass

@dataclass(frozen=True)
class Doubled(ap.Operator):
    info = ap.Info("doubled", "2 max x")
    reductions = ("max",)

    def finish(self, reduced, count, xp):
        return 2 * reduced[0]

instance = Doubled()
number = 3
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """A module of the user's in the working directory, which is not on the path."""
    import sys

    (tmp_path / "own_pooling.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    yield
    sys.modules.pop("own_pooling", None)


@pytest.mark.parametrize("name", ["own_pooling:Doubled", "own_pooling:instance"])
def test_a_class_of_the_users(own_module, name):
    found = candidate(name)
    assert found.name == name
    assert ap.pool([1.0, 5.0, 2.0, 0.0], found.operator, ap.Sliding(2), axes=0).tolist() == [10, 4]


@pytest.mark.parametrize(("names", "message"), [
    ([], "pool must name one or more of max, min, average"),
    (["mean"], "pool must name some of max, .*, strided, got 'mean'"),
    ([""], "pool must name some of .*, got ''"),
    (["p=3"], "got 'p=3'"),
    (["max", "max"], "pool must name each pooling once, got 'max' twice"),
    (["strided", "max", "strided"], "pool must name each pooling once, got 'strided' twice"),
    (["gem", "gem:p=3"], "pool must name each pooling once, got 'gem:p=3', which is 'gem'"),
    (["gem:p=3.0", "gem:p=3"], "got 'gem:p=3', which is 'gem:p=3.0'"),
    (["gem:q=3"], "pool must name operators, but 'gem:q=3' is none: settings of 'gem' are p, eps"),
    (["gem:p=-1"], "'gem:p=-1' is none: p must be"),
    (["gem:p=wide"], "'gem:p=wide' is none"),
    (["nowhere:Class"], "'nowhere:Class' is none: No module named 'nowhere'"),
    (["os:Nothing"], "'os:Nothing' is none: module 'os' has no attribute 'Nothing'"),
    (["own_pooling:number"], "'own_pooling:number' is none: it is int, and must be a subclass of anypool.Operator"),
    (["os:sep:p=3"], "'os:sep:p=3' is none"),
    (["os.path:"], "got 'os.path:'"),
])  # fmt: skip
def test_names_that_cannot_be(own_module, names, message):
    with pytest.raises(ValueError, match=message):
        candidates(names)
