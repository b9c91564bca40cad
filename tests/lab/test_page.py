"""The report in a browser: it draws, sorts and answers, asks nobody for anything, and fits a phone."""

import json

import numpy as np
import pytest
from labruns import SETTINGS, made_up_run

from anypool.lab.data import load
from anypool.lab.examples import Examples
from anypool.lab.report import render, render_front
from anypool.lab.runs import INVERTED, RunKey
from anypool.lab.shown import Shown

POOLS = {"max": 0.97, "min": 0.95, "average": 0.9, "gem:p=4": 0.96, "median": 0.94}


def measured(pool, seed):
    accuracy = POOLS[pool] + seed / 1000
    saved = 1000.0 * (1 + list(POOLS).index(pool))
    return {
        "accuracy": accuracy,
        "consistency": 1.5 - accuracy,
        "fidelity": 0.4,
        "saved_bytes": saved,
        "ms_forward": 0.5,
    }


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report on five poolings, two of them inverted too, with pictures."""
    runs = [
        made_up_run(pool, seed, polarity, POOLS[pool], measures=measured(pool, seed))
        for polarity, pools in (("as given", POOLS), (INVERTED, ("max", "min")))
        for pool in pools
        for seed in range(3)
    ]
    image = np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1)
    maps = image[0] * np.ones(4, np.float32)
    flips = image, image[:, ::-1], np.array([[3, 5]]), np.array([[0.9, 0.7]])
    shown = Shown(RunKey(0, "as given", "max"), maps, maps[::2, ::2], *flips)
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(SETTINGS, runs, Examples.of(load("digits")), shown=[shown]))
    return path


@pytest.fixture(scope="module")
def opened(report, open_page):
    found = open_page(report)
    found.page.wait_for_selector(".chart svg")
    return found


def first_names(opened):
    return opened.page.locator("table").first.locator("tbody th").all_inner_texts()


def test_nothing_goes_wrong_and_nothing_is_asked_for(opened):
    opened.page.wait_for_function("document.querySelectorAll('.chart svg').length === 8")
    assert (opened.errors, opened.requests) == ([], [])


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_in_dark_and_light(report, open_page, dark):
    found = open_page(report, width=375, dark=dark)
    found.page.wait_for_selector(".chart svg")
    assert (found.errors, found.requests, found.overflow) == ([], [], 0)
    paper = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(20, 22, 27)") == dark
    charts = found.page.evaluate("[...document.querySelectorAll('.chart svg')].map(svg => svg.clientWidth)")
    assert max(charts) < 375


def test_tables_sort_by_mouse_and_keyboard(opened):
    heading = opened.page.locator("table").first.locator("thead th").nth(1)
    assert first_names(opened) == list(POOLS)
    heading.locator("button").click()
    assert first_names(opened) == ["max", "gem:p=4", "min", "median", "average"]
    assert heading.get_attribute("aria-sort") == "descending"
    heading.locator("button").focus()
    opened.page.keyboard.press("Enter")
    assert first_names(opened) == ["average", "median", "min", "gem:p=4", "max"]
    opened.page.locator("table").first.locator("thead button").first.click()
    assert first_names(opened) == ["average", "gem:p=4", "max", "median", "min"]
    assert heading.get_attribute("aria-sort") is None


def test_charts_answer_to_the_mouse(opened):
    chart = opened.page.locator(".chart").first
    chart.scroll_into_view_if_needed()
    chart.locator("path[aria-roledescription=point]").first.hover()
    tooltip = opened.page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert "pooling" in tooltip.inner_text()
    assert "97.1%" in tooltip.inner_text()


def test_a_measure_is_chosen_from_a_list(opened):
    explorer = opened.page.locator(".chart").nth(2)
    before = explorer.locator("svg").inner_html()
    explorer.locator("select").select_option("saved for backward, bytes")
    opened.page.wait_for_function("html => document.querySelectorAll('.chart svg')[2].innerHTML !== html", arg=before)
    assert "5,000" in explorer.locator("svg").text_content()


def test_dark_and_light_by_a_button(opened):
    def paper():
        return opened.page.evaluate("getComputedStyle(document.body).backgroundColor")

    def axis():
        return opened.page.evaluate("getComputedStyle(document.querySelector('.chart svg text')).fill")

    before = paper(), axis()
    opened.page.locator("#theme").click()
    assert paper() != before[0]
    assert axis() != before[1]
    opened.page.locator("#theme").click()
    assert (paper(), axis()) == before


def test_paper_has_no_controls(opened):
    opened.page.emulate_media(media="print")
    try:
        assert not opened.page.locator("#theme").is_visible()
        assert opened.page.locator("table").first.is_visible()
    finally:
        opened.page.emulate_media(media="screen")


def test_pictures_are_there(opened):
    assert opened.page.locator(".maps img").count() == 2 * 4
    assert opened.page.locator(".flips").inner_text().split("\n")[-1] == "3 (90%) → 5 (70%)"


def test_page_of_a_search(tmp_path, open_page):
    points = [{"label": f"trial {n}", "accuracy": 0.9 + n / 100, "ms_forward": 1.0 + n * n} for n in range(4)]
    points.append({"label": "trial <4>", "accuracy": 0.9, "ms_forward": 9.0})
    path = tmp_path / "front.html"
    path.write_text(render_front("Search", "An answer.", points, {"accuracy": "higher", "ms_forward": "lower"}))
    found = open_page(path, width=375)
    found.page.wait_for_selector(".chart svg")
    assert (found.errors, found.requests, found.overflow) == ([], [], 0)
    names = found.page.locator("tbody th").all_inner_texts()
    assert names[0] == "trial 0"
    assert names[-1] == "trial <4>"
    fills = [path.get_attribute("fill") for path in found.page.locator("path[aria-roledescription=point]").all()]
    assert fills.count("var(--p0)") == 4
    assert fills.count("var(--soft)") == 1


def test_the_playground_works_within_the_page(opened):
    opened.page.locator("details summary").click()
    stage = opened.page.frame_locator("iframe").locator("#stage")
    stage.wait_for()
    assert "Output" in stage.inner_text()
    assert (opened.errors, opened.requests) == ([], [])


def test_page_of_what_anypool_tune_left(tmp_path):
    from anypool.lab.report import write_search_report

    choice = {"pool": "gem:p=2.5", "size": 3, "stride": 2}
    trials = [
        {"number": 0, "choices": [choice, {"pool": "max"}], "values": {"accuracy": 0.9, "saved_bytes": 5808.0}},
        {"number": 1, "choices": [choice], "values": {"accuracy": 0.8, "saved_bytes": 9000.0}},
        {"number": 2, "choices": [choice], "values": {}},
    ]
    settings = {"data": "digits", "aims": ["accuracy", "saved_bytes"]}
    content = {"format": 1, "settings": settings, "trials": trials}
    (tmp_path / "tuning.json").write_text(json.dumps(content))
    page = write_search_report(tmp_path).read_text()
    assert "3 trials, of which 2 came to their end. In test accuracy and saved for backward, bytes together no" in page
    assert "0: gem:p=2.5 3/2, max</th><td" in page
    assert ">90.0 %</td>" in page
    assert ">5,808</td>" in page
    with pytest.raises(ValueError, match=r"tuning\.json, but there is none"):
        write_search_report(tmp_path / "nothing")
