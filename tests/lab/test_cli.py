"""The command line: what it prints, and one line and exit code 2 for whatever is wrong."""

import io
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from labruns import MadeUpSubject
from PIL import Image
from processes import ROOT, run_python
from rich.console import Console

import anypool as ap
from anypool.cli import main
from anypool.cli.compare import KERAS_DEFAULTS, choose_backend
from anypool.cli.console import accept_any_character, print_table
from anypool.lab import comparison

OLD = ROOT / "tests" / "data" / "results-0.1.0.json"


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty directory: exit code, what it printed, what it complained of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return run


@pytest.fixture
def refused(command, tmp_path):
    """Runs a command that must be refused in one line, leaving nothing behind; gives the line."""

    def run(*arguments):
        before = sorted(tmp_path.rglob("*"))
        code, out, complaint = command(*arguments)
        assert (code, out) == (2, ""), arguments
        assert complaint.startswith("anypool: ")
        assert complaint.endswith("\n")
        assert complaint.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before
        return complaint.removeprefix("anypool: ").rstrip()

    return run


# ---------------------------------------------------------------------------------------------------------------------
# anypool itself, and shape


def test_version_and_help(command):
    assert command("--version") == (0, f"anypool {ap.__version__}\n", "")
    for arguments in [(), ("--help",)]:
        code, out, _ = command(*arguments)
        assert code == 0
        assert all(name in out for name in ("compare", "show", "shape"))


@pytest.mark.parametrize(("arguments", "expected"), [
    (["28", "28", "--size", "2", "--stride", "2"],
     "28 × 28 → 14 × 14\n"
     "axis 0: ⌊(28 + 0 − 1·(2 − 1) − 1) / 2⌋ + 1 = ⌊26 / 2⌋ + 1 = 13 + 1 = 14\n"
     "axis 1: ⌊(28 + 0 − 1·(2 − 1) − 1) / 2⌋ + 1 = ⌊26 / 2⌋ + 1 = 13 + 1 = 14\n"),
    (["9", "--size", "3", "--padding", "same"], "9 → 3\naxis 0: ⌈9 / 3⌉ = 3, with padding 0 before and 0 after\n"),
    (["9", "--size", "3", "--stride", "2", "--padding", "1", "--dilation", "2", "--ceil-mode"],
     "9 → 4\naxis 0: ⌈(9 + 1 + 1 − 2·(3 − 1) − 1) / 2⌉ + 1 = ⌈6 / 2⌉ + 1 = 3 + 1 = 4\n"),
])  # fmt: skip
def test_shape(command, arguments, expected):
    assert command("shape", *arguments) == (0, expected, "")


def test_a_size_that_max_refuses_is_said(command):
    code, out, _ = command("shape", "28", "28", "--padding", "2")
    assert code == 0
    assert out.startswith("28 × 28 → 16 × 16\n")
    assert "max, min and an average that leaves padding out refuse them" in out
    assert "refuse" not in command("shape", "28", "28", "--padding", "1")[1]


def test_operators_are_listed_with_all_that_is_known_of_them(command):
    code, out, _ = command("operators")
    assert code == 0
    lines = out.splitlines()
    for name, kind in ap.OPERATORS.items():
        assert any(line.split()[:1] == [name] for line in lines), name
        assert kind.info.formula.split()[0] in out
    assert "…" not in out.replace("+ … +", "")


def test_help_has_no_types_of_flags(command):
    for name in ("compare", "show", "shape"):
        assert "<bool>" not in command(name, "--help")[1]


@pytest.mark.parametrize(("arguments", "said"), [
    (["brew"], "No such command 'brew'."),
    (["shape"], "Missing argument 'LENGTH...'."),
    (["shape", "28", "--sise", "2"], "No such option: --sise"),
    (["shape", "2x8"], "'LENGTH...': must be an integer, got '2x8'"),
    (["shape", "2.5"], "must be an integer, got '2.5'"),
    (["shape", "0"], "has length 0"),
    (["shape", "99999999999999999999"], "lengths must be between 0 and 2147483647, got 99999999999999999999"),
    (["shape", "28", "--size", "0"], "size must be between 1 and 2147483647, got 0"),
    (["shape", "28", "--size", "two"], "size must be an integer, or one per axis separated by commas, got 'two'"),
    (["shape", "28", "--size", "29"], "size 29 with dilation 1 spans 29 positions"),
    (["shape", "28", "--size", ""], "size must be an integer"),
    (["shape", "28", "--size", "2,2"], "2 axes"),
    (["shape", "28", "28", "--size", "2,2", "--stride", "1,1,1"], "the same number"),
    (["shape", "28", "--stride", "-1"], "stride must be between 1 and 2147483647, got -1"),
    (["shape", "28", "--stride", "9" * 5000], "stride must be an integer"),
    (["shape", "28", "--padding", "-1"], "padding must be between 0"),
    (["shape", "28", "--padding", "full"], "padding must be one of 'valid', 'same', 'same_lower' or integers, got"),
    (["shape", "28", "--dilation", "0"], "dilation must be between 1"),
])  # fmt: skip
def test_refused_shapes(refused, arguments, said):
    assert said in refused(*arguments)


def test_shape_starts_without_heavy_imports():
    done = run_python("-X", "importtime", "-m", "anypool", "shape", "28")
    assert done.stdout.startswith("28 → 14")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not {"keras", "jax", "torch", "tensorflow", "sklearn", "PIL", "jinja2"} & imported


def test_without_the_lab_installed_it_says_what_to_install():
    code = "import sys; sys.modules[{!r}] = None; from anypool.cli import main; main({})"
    for module, arguments in (("typer", ["--help"]), ("PIL", ["show", "x.png"]), ("keras", ["compare"])):
        done = run_python("-c", code.format(module, arguments))
        assert done.returncode == 2
        assert done.stderr.startswith("anypool: ")
        assert done.stderr.endswith("pip install 'anypool[lab]'\n")
        assert done.stderr.count("\n") == 1


# ---------------------------------------------------------------------------------------------------------------------
# show


def save_picture(path):
    Image.fromarray(np.arange(80, dtype=np.uint8).reshape(8, 10)).save(path)
    return path


def test_show_draws_beside_the_shapes(command, tmp_path):
    (tmp_path / "pictures").mkdir()
    save_picture(tmp_path / "pictures" / "digit.jpg")
    code, out, _ = command("show", "pictures/digit.jpg", "--pool", "max,average", "--size", "2,3", "--stride", "2")
    assert code == 0
    assert re.search(r"image +8 × 10", out)
    assert re.search(r"max +4 × 4", out)
    assert re.search(r"average +4 × 4", out)
    assert out.endswith("The picture is digit-pooled.png\n")
    with Image.open("digit-pooled.png") as drawn:
        assert drawn.format == "PNG"
    assert sorted(os.listdir()) == ["digit-pooled.png", "pictures"]


def test_show_writes_where_told_and_over_what_was_there(command, tmp_path):
    save_picture(tmp_path / "digit.png")
    (tmp_path / "drawn.PNG").write_text("old")
    assert command("show", "digit.png", "--out", "drawn.PNG")[0] == 0
    with Image.open("drawn.PNG") as drawn:
        assert drawn.width > 1000


@pytest.mark.parametrize(("arguments", "said"), [
    (["nothing.png"], "image must be a PNG, JPEG or .npy file, got 'nothing.png', which is not there"),
    (["."], "which is a directory"),
    ([""], "image must be a PNG, JPEG or .npy file, got ''"),
    (["digit.png", "--out", ""], "out must end in .png, got ''"),
    (["text.png"], "cannot be read"),
    (["pickle.npy"], "cannot be read"),
    (["complex.npy"], "image must hold real numbers"),
    (["digit.png", "--pool", "max,mean"], "got 'mean'"),
    (["digit.png", "--pool", ""], "pool must name one or more"),
    (["digit.png", "--size", "0"], "size must be between 1"),
    (["digit.png", "--size", "9"], "size 9 with dilation 1 spans 9 positions"),
    (["digit.png", "--size", "2,2,2"], "3 axes"),
    (["digit.png", "--stride", "0"], "stride must be between 1"),
    (["digit.png", "--out", "drawn.jpg"], "out must end in .png, got 'drawn.jpg'"),
    (["digit.png", "--out", "digit.png"], "out must not be the image itself"),
    (["digit.png", "--out", "nowhere/drawn.png"], "out must be a file in a directory that exists"),
    (["digit.png", "--out", "folder.png"], "out must be a file"),
    (["digit.png", "--out", "/proc/drawn.png"], "out must lie in a directory that can be written to, got"),
])  # fmt: skip
def test_refused_shows(refused, tmp_path, arguments, said):
    save_picture(tmp_path / "digit.png")
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "folder.png").mkdir()
    np.save(tmp_path / "complex.npy", np.ones((4, 4), complex))
    np.save(tmp_path / "pickle.npy", np.array([[None]], object), allow_pickle=True)
    assert said in refused("show", *arguments)


# ---------------------------------------------------------------------------------------------------------------------
# compare, with made-up training


@pytest.fixture
def trained(monkeypatch):
    """Training that only pretends: the jobs it got, and an `interrupt_at` to set."""
    made_up = MadeUpSubject()
    monkeypatch.setattr(comparison, "find_subject", lambda *arguments: made_up)
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    return made_up


def test_compare_prints_a_table_and_writes_both_files(command, trained):
    code, out, complaint = command("compare", "--pool", "max,min", "--seeds", "2", "--epochs", "3")
    assert (code, complaint) == (0, "")
    assert [(seed, pool) for seed, _, pool, _ in trained.jobs] == [(0, "max"), (0, "min"), (1, "max"), (1, "min")]
    assert "90.5 ± 0.7 %" in out
    assert "2,048 → 512" in out
    assert "27,370" in out
    assert "0.300 s" in out
    assert "The report is anypool-report/report.html" in out
    assert sorted(os.listdir("anypool-report")) == [
        ".results.json.lock",
        "examples.npz",
        "report.html",
        "results.csv",
        "results.json",
    ]
    assert "<title>Poolings compared on digits</title>" in Path("anypool-report/report.html").read_text()


def test_compare_continues_where_it_was_stopped(command, trained):
    trained.interrupt_at = 2
    code, out, _ = command("compare", "--pool", "max,min", "--seeds", "2", "--out", "here")
    assert code == 130
    assert "Stopped: 2 of 4 runs are kept in here/results.json; the same command continues" in out
    assert len(json.loads(Path("here/results.json").read_text())["runs"]) == 2
    assert Path("here/report.html").exists()
    trained.interrupt_at = None
    code, out, _ = command("compare", "--pool", "max,min", "--seeds", "2", "--out", "here")
    assert code == 0
    assert "2 of 4 runs are there already" in out
    assert [(seed, pool) for seed, _, pool, _ in trained.jobs] == [(0, "max"), (0, "min"), (1, "max"), (1, "min")]


def test_compare_stopped_in_its_first_run_writes_nothing(command, trained):
    trained.interrupt_at = 0
    assert command("compare", "--out", "here")[0] == 130
    assert os.listdir("here") == [".results.json.lock"]


def test_more_seeds_poolings_and_the_other_polarity_are_added(command, trained):
    command("compare", "--pool", "max", "--seeds", "1")
    command("compare", "--pool", "max,min", "--seeds", "1", "--invert")
    assert [(pool, background) for _, _, pool, background in trained.jobs] == [
        ("max", 0), ("min", 0), ("max", 1), ("min", 1),
    ]  # fmt: skip
    runs = json.loads(Path("anypool-report/results.json").read_text())["runs"]
    assert [run["polarity"] for run in runs] == ["as given", "as given", "inverted", "inverted"]


def test_other_settings_or_data_are_refused(command, refused, trained):
    command("compare", "--pool", "max", "--seeds", "1", "--epochs", "3")
    assert "epochs was 3, now 4" in refused("compare", "--pool", "max", "--seeds", "1", "--epochs", "4")
    Path("anypool-report/results.json").write_text("{")
    assert "out must hold no results.json, or one of this version" in refused("compare")


def test_an_invented_file_of_images(command, trained, tmp_path):
    x, y = np.random.default_rng(0).random((40, 6, 7, 3)), np.arange(40) % 2
    np.savez(tmp_path / "mine.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    code, out, _ = command("compare", "--data", "mine.npz", "--pool", "average", "--seeds", "1")
    assert code == 0
    assert out.startswith(
        "mine.npz: 40 images to train on and 40 to test on; 1,075 epochs; moves of up to 1 pixel of 6"
    )


def test_a_class_without_a_test_image_is_said(command, trained, tmp_path):
    x, y = np.random.default_rng(0).random((40, 6, 7)), np.arange(40) % 2
    np.savez(
        tmp_path / "mine.npz", x_train=x, y_train=np.array(["ant", "bee"])[y], x_test=x[:1], y_test=np.array(["ant"])
    )
    code, out, _ = command("compare", "--data", "mine.npz", "--pool", "average", "--seeds", "1")
    assert code == 0
    assert "Classes without a test image: bee" in out


@pytest.mark.parametrize(("arguments", "said"), [
    (["--data", "emnist"], "data must be one of digits, mnist, fashion_mnist, cifar10, an .npz file or a folder of"),
    (["--data", "nothing.npz"], "data must be an .npz file that exists, got 'nothing.npz'"),
    (["--data", "keys.npz"], "keys.npz: must hold x_train, y_train, x_test, y_test, but y_train, x_test, y_te"),
    (["--pool", "max,mean"], "got 'mean'"),
    (["--pool", "max,,min"], "got ''"),
    (["--epochs", "0"], "epochs must be between 1 and 100000, got 0"),
    (["--epochs", "many"], "'--epochs': must be an integer, got 'many'"),
    (["--seeds", "0"], "seeds must be between 1 and 1000, got 0"),
    (["--seeds", "1.5"], "'--seeds': must be an integer, got '1.5'"),
    (["--shift", "far"], "shift must be a share of the side, such as 1/14 or 0.07, or an integer of pixels, got 'far'"),
    (["--shift", "1/0"], "shift must be a share"),
    (["--shift", "8"], "shift must be a share of the side between 0 and 1, or from 1 to 7 pixels of 8, got 8"),
    (["--shift", "-0.1"], "got -0.1"),
    (["--shift", "nan"], "got 'nan'"),
    (["--out", ""], "out must name a directory, got ''"),
    (["--data", ""], "got ''"),
    (["--out", "keys.npz"], "out must be a directory, got 'keys.npz', which is a file"),
    (["--out", "keys.npz/below"], "out must lie in a directory that can be written to, got 'keys.npz/bel"),
    (["--out", "/proc/below"], "out must lie in a directory that can be written to, got '/proc/below'"),
])  # fmt: skip
def test_refused_compares(refused, trained, tmp_path, arguments, said):
    np.savez(tmp_path / "keys.npz", x_train=np.ones(3))
    assert said in refused("compare", *arguments)
    assert trained.jobs == []


@pytest.mark.parametrize(("arguments", "said"), [
    (["alexnet"], "model must be one of course, vgg-small, resnet-small, all-conv, a .keras file, package.mod"),
    (["--model", ""], "got ''"),
    (["net.keras", "--model", "course"], "model must be said once, got 'net.keras' and --model 'course'"),
    (["--where", "below"], "where must be one of all, sliding, global, strided, got 'below'"),
    (["--where", "global"], "weights and where are for networks of your own, and model is 'course'"),
    (["a", "b"], "Got unexpected extra argument"),
])  # fmt: skip
def test_refused_models(refused, arguments, said):
    assert said in refused("compare", *arguments)


@pytest.mark.parametrize(("arguments", "said"), [
    ([], "1 pixel of 8"), (["--shift", "1/4"], "2 pixels of 8"), (["--shift", "3"], "3 pixels of 8"),
])  # fmt: skip
def test_compare_moves_images_by_a_share_and_says_how_far(command, trained, arguments, said):
    code, out, _ = command("compare", "--pool", "max", "--seeds", "1", *arguments)
    assert code == 0
    assert f"moves of up to {said}" in out


def test_a_file_of_version_0_1_0_is_continued(command, trained, monkeypatch):
    """By the command that wrote it, without training again what is there."""
    monkeypatch.setattr(trained, "settings", lambda: {"model": "course", "backend": "jax", "learning_rate": 0.001})
    os.mkdir("here")
    shutil.copy(OLD, "here/results.json")
    code, out, _ = command("compare", "--pool", "max,min,average", "--seeds", "1", "--epochs", "1", "--out", "here")
    assert code == 0
    assert "moves of up to 2 pixels of 8" in out
    assert "2 of 3 runs are there already" in out
    assert [job[2] for job in trained.jobs] == ["min"]


def test_what_fails_is_said_and_the_others_go_on(command, trained):
    trained.failing = {"max": ValueError("the window does not fit")}
    code, out, _ = command("compare", "--pool", "max,min", "--seeds", "1")
    assert code == 1
    assert "max  seed 0  failed: the window does not fit" in out
    assert "min  seed 0  accuracy 90.0%" in out
    assert "1 of 2 runs failed; the same command tries again" in out
    trained.failing = {}
    code, out, _ = command("compare", "--pool", "max,min", "--seeds", "1")
    assert (code, "failed" in out) == (0, False)


def test_a_full_disk_is_one_line_and_loses_nothing(command, trained, monkeypatch):
    command("compare", "--pool", "max", "--seeds", "1")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, complaint = command("compare", "--pool", "max,min", "--seeds", "1")
    assert (code, complaint) == (1, (
        "anypool: anypool-report/results.json cannot be written: No space left on device; "
        "1 of 2 runs are kept in anypool-report/results.json\n"
    ))  # fmt: skip
    code, out, complaint = command("compare", "--pool", "max", "--seeds", "1")
    assert (code, complaint.count("\n")) == (1, 1)
    assert "cannot be written: No space left on device" in complaint
    assert "90.0 %" in out


# ---------------------------------------------------------------------------------------------------------------------
# report


def test_report_is_made_again_without_training(command, trained):
    command("compare", "--pool", "max,min", "--seeds", "2", "--out", "here")
    page, table = (Path("here", name).read_text() for name in ("report.html", "results.csv"))
    for name in ("report.html", "results.csv"):
        os.remove(f"here/{name}")
    trained.jobs.clear()
    assert command("report", "here") == (0, "The report is here/report.html\n", "")
    assert Path("here/report.html").read_text() == page
    assert Path("here/results.csv").read_text() == table
    assert trained.jobs == []


def test_report_of_version_0_1_0(command):
    os.mkdir("here")
    shutil.copy(OLD, "here/results.json")
    assert command("report", "here")[0] == 0
    assert "68.1 %" in Path("here/report.html").read_text().replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(("arguments", "said"), [
    ([], "out must be a directory with a results.json, but there is no anypool-report/results.json"),
    (["nowhere"], "there is no nowhere/results.json"),
    ([""], "out must name a directory, got ''"),
    (["damaged"], "damaged/results.json cannot be read"),
])  # fmt: skip
def test_refused_reports(refused, tmp_path, arguments, said):
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "results.json").write_text("{")
    assert said in refused("report", *arguments)


# ---------------------------------------------------------------------------------------------------------------------
# Where it prints


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 110])
def test_no_terminal_is_too_narrow_for_numbers(columns):
    file = io.StringIO()
    narrow = Console(file=file, width=columns, force_terminal=True, color_system=None)
    rows = [("gem:p=3,eps=1e-06", "97.1 ± 0.4 %\nwithin the spread", "2,048 → 512\n512 → 128", "17,802")]
    print_table(narrow, "Images as given", ("pooling", "test\naccuracy", "values kept\nper image", "parameters"), rows)
    said = file.getvalue()
    for piece in ("gem:p=3,eps=1e-06", "97.1 ± 0.4 %", "within the spread", "2,048 → 512", "512 → 128", "17,802"):
        assert piece in said
    assert "…" not in said


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437", "utf-8"])
def test_streams_of_any_encoding_print_everything(encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding, newline="")
    accept_any_character(stream, None)
    print("28 × 28 → 14 × 14: ⌊26 / 2⌋ ± ⌈é⌉ ⠋\ud800", file=stream)
    stream.flush()
    said = stream.buffer.getvalue().decode(encoding)
    assert said.startswith("28 × 28" if encoding != "ascii" and encoding != "cp437" else "28 x 28")
    assert "14" in said
    assert ("->" in said) == (encoding != "utf-8")


def test_commands_print_where_stdout_is_ascii():
    done = run_python("-m", "anypool", "shape", "28", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.startswith("28 -> 14\naxis 0: floor((28 + 0 - 1*(2 - 1) - 1) / 2) + 1 = ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written_is_one_line():
    code = "import sys; sys.stdout = open('/dev/full', 'w'); from anypool.cli import main; main({})"
    for arguments in (["shape", "28"], ["--help"], ["--version"]):
        done = run_python("-c", code.format(arguments))
        assert (done.returncode, done.stderr) == (
            1,
            "anypool: standard output cannot be written: No space left on device\n",
        )


def test_who_reads_no_further_hears_nothing():
    code = (
        "import os; r, w = os.pipe(); os.close(r); os.dup2(w, 1); from anypool.cli import main; main(['shape', '28'])"
    )
    done = run_python("-c", code)
    assert (done.returncode, done.stderr) == (1, "")


def test_without_a_stdout_commands_work():
    code = "import sys; sys.stdout = None; from anypool.cli import main; main(['shape', '28'])"
    done = run_python("-c", code)
    assert (done.returncode, done.stderr) == (0, "")


# ---------------------------------------------------------------------------------------------------------------------
# Which backend


@pytest.mark.parametrize(("environment", "configured", "expected"), [
    (None, None, "jax"),
    (None, KERAS_DEFAULTS, "jax"),
    (None, {"floatx": "float32"}, "jax"),
    (None, {**KERAS_DEFAULTS, "backend": "torch"}, None),
    (None, {"backend": "tensorflow"}, None),
    ("torch", None, "torch"),
    ("torch", {"backend": "jax"}, "torch"),
])  # fmt: skip
def test_backend_is_jax_where_nothing_is_configured(tmp_path, monkeypatch, environment, configured, expected):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", environment or "")
    if configured is not None:
        (tmp_path / "keras.json").write_text(json.dumps(configured))
    choose_backend()
    assert (os.environ["KERAS_BACKEND"] or None) == expected


def test_networks_in_files_are_tensorflows_where_it_is_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for found, expected in ((object(), "tensorflow"), (None, "jax")):
        monkeypatch.setenv("KERAS_BACKEND", "")
        monkeypatch.setattr("anypool.cli.compare.find_spec", lambda name, found=found: found)
        choose_backend("net.keras")
        assert os.environ["KERAS_BACKEND"] == expected
