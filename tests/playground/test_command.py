"""`anypool play`: a page in a file, or in the browser."""

import webbrowser

import numpy as np
import pytest


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs `anypool play` in a directory of its own: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    np.save("image.npy", np.arange(20.0).reshape(4, 5))

    cli = pytest.importorskip("anypool.cli")

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(["play", *arguments])
        out, error = capsys.readouterr()
        return ended.value.code, out, error

    return run


def test_a_file_is_written_and_nothing_opened(command, tmp_path, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda address: pytest.fail("nothing was to be opened"))
    assert command("image.npy", "--out", "page.html")[:2] == (0, "The page is page.html\n")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert '"rows": 4, "columns": 5' in text
    assert "image.npy" in text


def test_without_a_file_it_opens_in_the_browser(command, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    code, out, _ = command()
    (page,) = tmp_path.glob("anypool-*.html")
    assert (code, out, opened) == (0, f"The page is {page}\n", [page.as_uri()])
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    assert "no browser" in command("image.npy")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.png"], "image must be a PNG, JPEG or .npy file, got 'nothing.png'"),
        ([""], "image must be a PNG, JPEG or .npy file, got ''"),
        (["--out", "page.txt"], "out must end in .html, got 'page.txt'"),
        (["--out", "none/page.html"], "out must be a file in a directory that exists"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(command, tmp_path, arguments, said):
    before = sorted(tmp_path.iterdir())
    code, out, error = command(*arguments)
    assert (code, out) == (2, "")
    assert error.startswith("anypool: ")
    assert said in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_the_image_is_never_overwritten(command, tmp_path):
    Image = pytest.importorskip("PIL.Image")
    Image.new("L", (3, 3)).save(tmp_path / "image.html", "PNG")
    assert "out must not be the image itself" in command("image.html", "--out", "image.html")[2]
