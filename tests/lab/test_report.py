"""Summaries and the page: what is said follows from the runs, and the page needs nothing but itself."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from labruns import SETTINGS, made_up_run
from processes import ROOT

from anypool.lab.data import load
from anypool.lab.examples import Examples
from anypool.lab.measures import MEASURES
from anypool.lab.models import parameters_without_pooling
from anypool.lab.report import render
from anypool.lab.results import Results
from anypool.lab.runs import AS_GIVEN, INVERTED, Failure, RunKey
from anypool.lab.summary import PerSeed, accuracy_interval, claims, paired_p, summarise, verdicts


def runs_with(**accuracies):
    """Runs of poolings on images as given, one per seed."""
    return [made_up_run(pool, seed, accuracy=a) for pool, values in accuracies.items() for seed, a in enumerate(values)]


def text_of(page):
    """The page's words, as a reader sees them."""
    words = re.sub(r"<(style|script)\b.*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL).replace("\N{NO-BREAK SPACE}", " ")
    return " ".join(words.split())


@pytest.fixture(scope="module")
def digits():
    return Examples.of(load("digits"))


def test_means_and_spreads():
    (row,) = summarise(runs_with(max=[0.9, 0.92, 0.97]))
    assert row.accuracy.mean == pytest.approx(0.93)
    assert row.accuracy.spread == pytest.approx(np.std([0.9, 0.92, 0.97], ddof=1))
    assert row.seconds.mean == pytest.approx(0.3)  # the first epoch, of 9 seconds, compiles
    assert [measure.mean for measure in row.curve] == pytest.approx([0.5, 0.7, 0.93])


def test_one_epoch_has_no_seconds():
    (row,) = summarise([made_up_run(epoch_seconds=[9.0], curve=[0.9])])
    assert row.seconds is None


def test_verdicts_say_when_a_difference_may_be_noise():
    accuracies = {"max": [0.95, 0.97, 0.96], "min": [0.94, 0.97, 0.955], "average": [0.90, 0.93, 0.92]}
    rows = summarise(runs_with(**accuracies))
    first, second, third = verdicts(rows, 357)
    assert (first.kind, str(first)) == ("highest", "highest")
    assert second.kind == "noise"
    assert third.kind == "lower"
    single = summarise(runs_with(max=[0.95], min=[0.5]))
    assert [str(verdict) for verdict in verdicts(single, 357)] == ["highest", "one seed"]


def test_paired_p_is_scipys_and_holms():
    from scipy import stats

    accuracies = {"max": [0.95, 0.97, 0.96, 0.99], "min": [0.94, 0.96, 0.93, 0.97], "average": [0.9, 0.93, 0.92, 0.96]}
    rows = summarise(runs_with(**accuracies))
    plain = [stats.ttest_rel(accuracies["max"], accuracies[name]).pvalue for name in ("min", "average")]
    assert [paired_p(row, rows[0], 10**9) for row in rows[1:]] == pytest.approx(plain)
    smaller, larger = sorted(plain)
    found = sorted(verdict.p for verdict in verdicts(rows, 10**9)[1:])
    assert found == pytest.approx([2 * smaller, max(2 * smaller, larger)])


def test_seeds_that_agree_by_chance_prove_little():
    rows = summarise(runs_with(max=[0.95, 0.95], min=[0.94, 0.94]))
    assert paired_p(rows[0], rows[1], 100) > 0.05


def test_only_seeds_that_both_have_are_paired():
    runs = [made_up_run("max", seed, accuracy=0.9) for seed in (0, 1)]
    runs += [made_up_run("min", seed, accuracy=0.8) for seed in (1, 2)]
    assert paired_p(*summarise(runs), 100) is None


def test_equal_poolings_rarely_come_out_lower(rng):
    """At most 5 % of the time, as the test promises."""
    lower = 0
    for pair in 0.9 + 0.01 * rng.standard_normal((400, 2, 4)):
        rows = summarise(runs_with(max=list(pair[0]), min=list(pair[1])))
        lower += paired_p(*rows, 10**9) < 0.05
    assert 8 <= lower <= 34


def test_intervals_by_hand():
    # Wilson: (0.5 + z²/20 ± z·√(0.025 + z²/400)) / (1 + z²/10) with z = 1.96
    assert accuracy_interval(PerSeed((0.5,)), 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    # three seeds: t = 4.3027, s = 0.01, so √((4.3027·0.01/√3)² + (1.96·√(0.9·0.1/100))²) = √(0.02484² + 0.0588²)
    assert accuracy_interval(PerSeed((0.89, 0.9, 0.91)), 100) == pytest.approx((0.9 - 0.06383, 0.9 + 0.06383), abs=1e-4)
    assert accuracy_interval(PerSeed((1.0, 1.0)), 100) == (1.0, 1.0)
    low, high = accuracy_interval(PerSeed((1.0,)), 100)
    assert low < 1 == high


@pytest.mark.parametrize(("background", "expected"), [(0.0, ("dark", "max")), (0.9, ("light", "min"))])
def test_claim_about_backgrounds_says_what_was_measured(background, expected):
    runs = runs_with(max=[0.9, 0.91], min=[0.95, 0.96])
    runs += [made_up_run(run.pool, run.seed, INVERTED, accuracy=0.8) for run in runs]
    given, inverted = claims(summarise(runs), background, 100_000)
    assert (given.background, given.expected) == expected
    assert (given.higher, given.difference) == ("min", pytest.approx(-0.05))
    assert given.p < 0.05
    assert (inverted.polarity, inverted.higher, inverted.p) == (INVERTED, "neither", 1.0)
    assert inverted.background != given.background


def test_no_claim_without_both():
    assert claims(summarise(runs_with(max=[0.9], average=[0.9])), 0.0, 100) == []


class Links(HTMLParser):
    """Collects everything a page would fetch, and checks that tags close."""

    def __init__(self):
        super().__init__()
        self.fetched, self.open = [], []

    def handle_starttag(self, tag, attributes):
        self.fetched += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.fetched += [value for name, value in attributes if name in ("src", "href")]


def test_page_is_self_contained_and_well_formed(digits):
    runs = runs_with(max=[0.95, 0.97], min=[0.94, 0.96])
    runs += [made_up_run(run.pool, run.seed, INVERTED) for run in runs]
    page = render(SETTINGS, runs, digits)
    links = Links()
    links.feed(page)
    assert links.open == []
    pictures = [source for source in links.fetched if not source.startswith("#")]
    assert len(pictures) == 2 * 3 * 3  # polarities × digits × (image, max, min)
    assert all(source.startswith("data:image/png;base64,") for source in pictures)
    assert page.count('<div class="chart">') == 2 * 4
    assert """content="default-src 'none'; img-src data: blob:;""" in page


def test_page_says_what_was_measured(digits):
    page = text_of(render(SETTINGS, runs_with(max=[0.95, 0.97], min=[0.94, 0.96], average=[0.9, 0.93]), digits))
    assert "Max pooling has the highest mean test accuracy, 96.0 ± 1.4 %, over 2 seeds." in page
    assert "The difference may be noise: min (95.0 %), average (91.5 %)." in page
    assert "min 95.0 ± 1.4 % 82.1 to 100.0 % noise, p = " in page
    assert "Most accurate max 96.0 ± 1.4 % of the test images right; 95 % interval 83.1 % to 100.0 %" in page
    assert "On the dark background (images as given), where max is expected to do better, max had the higher" in page
    assert "27,370 parameters; without its pooling layers it would have 273,130" in page
    assert "2,048 512 25.0 % 27,050" in page
    assert "backend jax 1.2 made with anypool 0; a machine" in page


def test_verdict_names_the_steadiest_and_the_lightest(digits):
    measures = {
        "max": {"accuracy": 0.9, "consistency": 0.5, "fidelity": 0.4, "saved_bytes": 6448.0},
        "average": {"accuracy": 0.8, "consistency": 0.75, "fidelity": 0.5, "saved_bytes": 5808.0},
    }
    runs = [made_up_run(pool, seed, measures=found) for pool, found in measures.items() for seed in range(3)]
    page = text_of(render(SETTINGS, runs, digits))
    assert "Steadiest when images move average 75.0 % of moves of up to 2 pixels of 8 leave the class" in page
    assert "least: max, 50.0 %" in page
    assert "Lightest to train average 5,808 bytes per image kept for backward; most: max, 6,448" in page
    assert "Lower, beyond what seeds explain: average (80.0 %)." in page


def test_page_of_a_network_of_the_users(digits):
    runs = [
        made_up_run(pool, stage=stage, accuracy=a, curve=[], epoch_seconds=[], layers=[])
        for pool, a in (("original", 0.9), ("gem:p=4", 0.8))
        for stage in ("swapped", "recalibrated")
    ]
    page = text_of(render({**SETTINGS, "model": "net.keras", "weights": "ab" * 32, "where": "all"}, runs, digits))
    assert "net.keras, measured 4 times with other poolings in the place of its own" in page
    assert "Images as given, poolings swapped and nothing else" in page
    assert "Images as given, batch normalisation recalibrated" in page
    assert "What pooling saves" not in page
    assert "weights sha256 abababab" in page


def test_page_has_every_measure_that_was_made(digits):
    measures = dict.fromkeys(MEASURES, 0.25)
    page = text_of(render(SETTINGS, [made_up_run("max", measures=measures)], digits))
    for info in MEASURES.values():
        assert info.heading in page


def test_page_of_a_single_seed_and_epoch_claims_little(digits):
    runs = [made_up_run(pool, accuracy=a, curve=[a], epoch_seconds=[5.0]) for pool, a in (("max", 0.9), ("min", 0.8))]
    page = text_of(render(SETTINGS, runs, digits))
    said, _, _ = page.rpartition("± is the sample")
    assert "A single seed cannot say whether others are worse: min (80.0 %)." in said
    assert "±" not in said
    assert "Learning" not in said


def test_names_are_escaped(digits):
    page = render({**SETTINGS, "data": "<b>&.npz"}, runs_with(max=[0.9]), digits)
    assert "<b>&.npz" not in page
    assert "&lt;b&gt;&amp;.npz" in page


def test_no_runs_no_page(digits):
    with pytest.raises(ValueError, match="at least one run"):
        render(SETTINGS, [], digits)


def test_parameters_without_pooling():
    assert parameters_without_pooling((28, 28, 1), 10) == 320 + 9248 + 24 * 24 * 32 * 128 + 128 + 1290
    assert parameters_without_pooling((8, 8, 3), 2) == 896 + 9248 + 8 * 8 * 32 * 128 + 128 + 258


def test_page_without_images_shows_none():
    page = render(SETTINGS, runs_with(max=[0.9]), None)
    assert 'src="data:' not in page
    assert "does to the same images" not in page


def test_page_says_what_failed(digits):
    failures = [Failure(RunKey(1, AS_GIVEN, "median"), "the loss was nan <after> epoch 3")]
    page = text_of(render(SETTINGS, runs_with(max=[0.9]), digits, failures))
    assert "What failed median, seed 1, images as given, trained: the loss was nan &lt;after&gt; epoch 3" in page
    assert "What failed" not in render(SETTINGS, runs_with(max=[0.9]), digits)


def test_examples_come_back(tmp_path, digits):
    digits.save(tmp_path / "examples.npz")
    again = Examples.load(tmp_path / "examples.npz")
    np.testing.assert_array_equal(again.images, digits.images)
    assert again.range == digits.range == (0, 1)
    np.testing.assert_array_equal(again.inverted().images, 1 - digits.images)
    (tmp_path / "examples.npz").write_bytes(b"PK")
    assert Examples.load(tmp_path / "examples.npz") is None
    assert Examples.load(tmp_path / "nothing.npz") is None


def test_page_on_a_file_of_version_0_1_0():
    results = Results.open(ROOT / "tests" / "data" / "results-0.1.0.json")
    page = text_of(render(results.settings, list(results.runs.values()), None))
    assert "pooling has the highest mean test accuracy" in page
    assert "saved for backward, bytes" not in page
