"""The playground: its numbers are the package's, it works by keys, pointer and touch, and it loads nothing."""

import dataclasses
import re

import numpy as np
import pytest

import anypool as ap
from anypool.playground import page
from anypool.playground.operators import CHOICES, Range, definitions

MODES = ("exclude", "exclude", "zeros", "reflect", "replicate", "circular")
NUMPY_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
DRAWN = 200


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The page, in a file."""
    path = tmp_path_factory.mktemp("playground") / "page.html"
    path.write_text(page(), encoding="utf-8")
    return path


# ---------------------------------------------------------------------------------------------------------------------
# Numbers


def draw(rng, number):
    """Settings of the page and a table for them; operators in turn, and tables with ties."""
    operator = list(CHOICES)[number % len(CHOICES)]
    fields = {}
    for name, choice in CHOICES[operator].items():
        if isinstance(choice, Range):
            steps = round((choice.high - choice.low) / choice.step)
            value = round(choice.low + choice.step * int(rng.integers(steps + 1)), 6)
            fields[name] = int(value) if isinstance(choice.step, int) else value
        else:
            fields[name] = choice[rng.integers(len(choice))]
    size = int(rng.integers(1, 5))
    settings = {
        "operator": operator,
        "fields": fields,
        "size": size,
        "stride": int(rng.integers(1, 5)),
        "dilation": int(rng.integers(1, 4)),
        "padding": [int(rng.integers(0, size)), "same", "same_lower"][rng.choice(3, p=[0.7, 0.15, 0.15])],
        "mode": MODES[rng.integers(len(MODES))],
        "ceil": bool(rng.integers(2)),
    }
    shape = tuple(int(n) for n in rng.integers(1, 9, size=2))
    signed = not operator.endswith("_mean") or operator in ("trimmed_mean", "topk_mean")
    values = rng.integers(-9 if signed else 0, 10, shape).astype(float)
    return settings, values if rng.integers(3) else np.round(values / 7, 3)


def operator_of(settings):
    return ap.OPERATORS[settings["operator"]](**settings["fields"])


def expected(values, settings):
    """The values of the package and the gradient of their sum weighted 1, 2, 3, …; None where it refuses."""
    torch = pytest.importorskip("torch")
    x = torch.tensor(values, requires_grad=True)
    window = ap.Sliding(
        *(settings[name] for name in ("size", "stride", "padding", "dilation")), ceil_mode=settings["ceil"]
    )
    try:
        operator, given = operator_of(settings), x
        plan = window.plan(values.shape)
        if settings["mode"] != "exclude":
            given, window, operator = padded(x, plan, settings, operator)
        y = ap.pool(given, operator, window)
    except ValueError:
        return None
    weights = torch.arange(1.0, y.numel() + 1, dtype=torch.float64).reshape(y.shape)
    if y.is_floating_point() and y.requires_grad:
        (y * weights).sum().backward()
    gradient = np.zeros_like(values) if x.grad is None else x.grad.numpy()
    return y.detach().numpy().astype(float), gradient


def padded(x, plan, settings, operator):
    """x with its padding as numpy.pad lays it, and the window and the operator for such an array."""
    import torch

    mode, overhang = NUMPY_MODES[settings["mode"]], []
    for number, axis in enumerate(plan):
        most = {"reflect": axis.length - 1, "wrap": axis.length}.get(mode, np.inf)
        if max(axis.pad_before, axis.pad_after) > most:
            raise ValueError("numpy.pad would repeat itself")
        around = (axis.pad_before, axis.pad_after)
        places = np.pad(np.arange(axis.length), around, mode, **({"constant_values": -1} if mode == "constant" else {}))
        needed = (axis.outputs - 1) * axis.stride + axis.dilation * (axis.kernel_size - 1) + 1
        places = torch.from_numpy(places[:needed])
        overhang.append((0, max(needed - len(places), 0)))
        zero = (places < 0).reshape((-1, 1) if number == 0 else (1, -1))
        x = x.index_select(number, places.clamp(min=0)).masked_fill(zero, 0.0)
    window = ap.Sliding(settings["size"], settings["stride"], tuple(overhang), settings["dilation"])
    if isinstance(operator, ap.Average):
        operator = dataclasses.replace(operator, count_include_pad=False)
    return x, window, operator


COMPUTE = """
(drawn) => drawn.map(({settings, table}) => {
  const whole = Playground.complete(settings);
  try {
    const pooled = Pooling.pool(table, whole);
    const weights = pooled.values.map((_, at) => at + 1);
    const {values} = Pooling.gradient(table, whole, weights);
    const plain = (all) => all.map((each) => Number.isNaN(each) ? "NaN" : each);
    const shape = [pooled.rows, pooled.columns];
    return {shape, values: plain(pooled.values), gradient: plain(values), call: Playground.call(whole)};
  } catch (error) {
    if (!(error instanceof Pooling.Refused)) throw error;
    return {refused: error.message};
  }
})
"""


@pytest.fixture(scope="module")
def computed(open_page, file):
    """The drawn settings, their tables, and what the page makes of all of them."""
    rng = np.random.default_rng(17)
    drawn = [draw(rng, number) for number in range(DRAWN)]
    tables = [
        {"rows": values.shape[0], "columns": values.shape[1], "values": values.ravel().tolist()} for _, values in drawn
    ]
    given = [{"settings": settings, "table": table} for (settings, _), table in zip(drawn, tables, strict=True)]
    return list(zip(drawn, open_page(file).page.evaluate(COMPUTE, given), strict=True))


def test_the_page_computes_what_the_package_does(computed):
    refused = 0
    for (settings, values), made in computed:
        wanted = expected(values, settings)
        assert ("refused" in made) == (wanted is None), (settings, values.shape, made)
        if wanted is None:
            refused += 1
            continue
        assert tuple(made["shape"]) == wanted[0].shape, settings
        for name, want in zip(("values", "gradient"), wanted, strict=True):
            got = np.array(made[name], float).reshape(want.shape)
            if name == "gradient" and np.isnan(wanted[0]).any():
                continue  # a NaN has no gradient to agree on
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9, err_msg=f"{name} of {settings} on {values}")
    assert 10 < refused < DRAWN // 2


def test_the_call_that_the_page_shows_gives_what_it_shows(computed):
    tried = 0
    for (settings, values), made in computed:
        if "refused" in made or (settings["mode"] != "exclude" and not hasattr(ap.Sliding, "padding_mode")):
            continue
        y = eval(made["call"], {"ap": ap, "x": values})
        np.testing.assert_allclose(y.ravel(), np.array(made["values"], float), rtol=1e-9, atol=1e-9)
        tried += 1
    assert tried > DRAWN // 5


def test_the_page_has_the_operators_that_are_listed(open_page, file):
    opened = open_page(file).page
    assert opened.evaluate("Object.keys(Pooling.OPERATORS).sort()") == sorted(CHOICES)
    assert opened.locator("#operator option").all_text_contents() == [ap.OPERATORS[name].__name__ for name in CHOICES]


@pytest.mark.parametrize("name", CHOICES)
def test_an_operator_takes_all_that_can_be_chosen(name):
    kind = ap.OPERATORS[name]
    for field, choice in CHOICES[name].items():
        ends = (choice.low, choice.high) if isinstance(choice, Range) else choice
        for value in ends:
            assert getattr(kind(**{field: value}), field) == value
    default = {each.name: each.default for each in dataclasses.fields(kind)}
    told = next(each for each in definitions() if each["name"] == name)
    assert {each["name"]: each["default"] for each in told["fields"]} == default
    assert (told["formula"], told["class"]) == (kind.info.formula, kind.__name__)


# ---------------------------------------------------------------------------------------------------------------------
# The page


@pytest.mark.parametrize("width", [1280, 375])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_any_screen_asks_for_nothing_and_complains_of_nothing(open_page, file, width, dark):
    opened = open_page(file, width, dark)
    for data in ("picture", "numbers"):
        opened.page.evaluate(f"document.querySelector('input[value={data}]').click()")
        opened.page.select_option("#operator", "median")
        for view in ("values", "one", "all"):
            opened.page.evaluate(f"document.querySelector('input[value={view}]').click()")
        assert opened.overflow <= 0
    assert (opened.errors, opened.requests) == ([], [])


def test_keys_pointer_and_touch_move_the_window(open_page, file):
    opened = open_page(file).page
    said = opened.locator("#result")
    assert "Output (0, 0)" in said.text_content()
    opened.locator("#input").focus()
    opened.keyboard.press("ArrowRight")
    assert "Output (0, 1) reads rows 0 to 1 and columns 2 to 3: 4 elements." in said.text_content()
    assert "max(7, 3, 6, 1) = 7" in said.text_content()
    opened.keyboard.press("PageDown")
    assert "Output (1, 1)" in said.text_content()
    box = opened.locator("#input canvas").bounding_box()
    opened.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.9 * box["height"])
    opened.mouse.down()
    opened.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.9 * box["height"])
    opened.mouse.up()
    assert "Output (1, 0)" in said.text_content()
    finger = {"pointerType": "touch", "pointerId": 1, "isPrimary": True, "buttons": 1}
    corner = {"clientX": box["x"] + 3, "clientY": box["y"] + 3}
    opened.evaluate("document.getElementById('input').setPointerCapture = () => {}")  # no finger is really there
    opened.locator("#input").dispatch_event("pointerdown", finger | corner)
    assert "Output (0, 0)" in said.text_content()
    assert opened.locator("#input").evaluate("(board) => getComputedStyle(board).touchAction") == "none"


def set_slider(opened, name, value):
    opened.locator(f"#{name}").fill(str(value))


def test_it_says_how_the_size_comes_about(open_page, file):
    from anypool.lab.shapes import explain

    opened = open_page(file).page
    set_slider(opened, "size", 3)
    text = opened.locator("#sizes").text_content()
    assert "1 / 2 = 0.5 is no integer. It is rounded down. No window reads the last row and the last column." in text
    opened.locator("#ceil").check()
    text = opened.locator("#sizes").text_content()
    formula = explain(ap.Sliding(3, stride=2, ceil_mode=True), [4])[0]
    assert re.sub(r"\s", "", formula.replace("4 + 0", "4 + 0 + 0")) in re.sub(r"\s", "", text)
    set_slider(opened, "size", 6)
    assert opened.locator("#refused").text_content().endswith("a window must fit.")
    set_slider(opened, "size", 2)
    assert opened.locator("#refused").is_hidden()


def test_other_numbers_can_be_written(open_page, file):
    opened = open_page(file).page
    opened.locator("#edit summary").click()
    opened.locator("#table").fill("1 −2 3\n4 5 6")
    assert "max(1, −2, 4, 5) = 5" in opened.locator("#result").text_content()
    opened.locator("#table").fill("1 2\n3")
    assert opened.locator("#table").get_attribute("aria-invalid") == "true"
    assert "= 5" in opened.locator("#result").text_content()


def test_every_control_has_a_name(open_page, file):
    opened = open_page(file).page
    unnamed = """() => [...document.querySelectorAll("input, select, textarea, button, [tabindex]")].filter((each) =>
        !(each.labels?.length || each.textContent.trim() || each.ariaLabel)).map((each) => each.outerHTML)"""
    for name in CHOICES:
        opened.select_option("#operator", name)
        assert opened.evaluate(unnamed) == []


# ---------------------------------------------------------------------------------------------------------------------
# What is given to it


def test_an_image_is_made_grey_and_small():
    wide = np.zeros((50, 200, 3), "uint8")
    wide[..., 1] = 255
    text = page(wide, name="<b>green</b>")
    assert '"rows": 24, "columns": 96' in text
    assert "&lt;b&gt;green&lt;/b&gt;" in text
    assert "<b>green" not in text
    assert page(np.zeros((4, 5, 1))).count('"rows": 4, "columns": 5') == 1


def test_a_name_that_looks_like_a_part_of_the_page_is_a_name():
    assert page(name="{{ pooling.js }}").count("const Pooling = ") == 1


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"image": np.zeros(3)}, ValueError, r"image must have shape .*, got \(3,\)"),
        ({"image": np.zeros((2, 2, 2))}, ValueError, "1, 3 or 4 channels"),
        ({"image": np.full((2, 2), np.nan)}, ValueError, "image must be finite"),
        ({"image": np.array([["a"]])}, TypeError, "image must hold real numbers, got dtype <U1"),
        ({"numbers": [[]]}, ValueError, r"numbers must be a table of at most 12×12, got shape \(1, 0\)"),
        ({"numbers": np.zeros((13, 2))}, ValueError, "at most 12×12"),
    ],
)
def test_what_is_no_picture_or_table_is_refused(given, error, said):
    with pytest.raises(error, match=said):
        page(**given)
