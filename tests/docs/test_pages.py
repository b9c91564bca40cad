"""Every example of the documentation runs, its notebooks too; its links lead somewhere; its commands exist."""

import json
import re
import shlex
from functools import cache
from importlib.util import find_spec

import pytest
from doc_examples import blocks
from processes import ROOT, run_python

DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "generated" not in path.parts)
TEXTS = [*PAGES, *ROOT.glob("*.md")]
NOTEBOOKS = [path for path in PAGES if "file_format: mystnb" in path.read_text()[:400]]
FRAMEWORKS = ("torch", "jax", "keras", "tensorflow", "dask", "xarray", "onnx", "zarr")


RUN_NOTEBOOK = """
import sys, tempfile
from pathlib import Path
from nbclient import NotebookClient
sys.path.insert(0, sys.argv[1])
from notebooks import read
with tempfile.TemporaryDirectory() as folder:
    NotebookClient(read(Path(sys.argv[2])), timeout=300, resources={"metadata": {"path": folder}}).execute()
"""


def name_of(path):
    return path.relative_to(ROOT).as_posix()


# ---------------------------------------------------------------------------------------------------------------------
# Examples


def code_of(path):
    return "\n".join(code for _, _, code in blocks(path.read_text()))


def needs(path):
    """The frameworks that the examples of a page import."""
    code = code_of(path)
    return tuple(name for name in FRAMEWORKS if re.search(rf"\b(import|from)\b.*\b{name}\b", code))


def missing(path):
    return [name for name in needs(path) if find_spec(name) is None]


WITH_EXAMPLES = [path for path in TEXTS if path not in NOTEBOOKS and code_of(path).strip()]


@cache
def results(with_frameworks):
    """What the pages say: those that need frameworks in one process, which imports each once, the others in another."""
    pages = [str(path) for path in WITH_EXAMPLES if bool(needs(path)) == with_frameworks and not missing(path)]
    done = run_python("-m", "doc_examples", *pages, KERAS_BACKEND="jax", MPLBACKEND="Agg")
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=name_of)
def test_the_examples_of_a_page_run(path):
    if missing(path):
        pytest.skip(f"not installed: {', '.join(missing(path))}")
    assert results(bool(needs(path)))[str(path)] == ""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_a_notebook_runs_top_to_bottom(path):
    for name in ("myst_nb", "nbclient", "jax", "keras", "sklearn"):
        pytest.importorskip(name)
    done = run_python("-c", RUN_NOTEBOOK, DOCS / "_ext", path, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr[-4000:]


def test_the_runner_finds_what_is_wrong(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 1\n```\n\n```pycon\n>>> x\n2\n```\n")
    done = run_python("-m", "doc_examples", page)
    assert "Expected:" in json.loads(done.stdout)[str(page)]
    page.write_text("text\n\n```python\nx = 1\n\n1 / 0\n```\n")
    assert "line 6" in json.loads(run_python("-m", "doc_examples", page).stdout)[str(page)]


# ---------------------------------------------------------------------------------------------------------------------
# Commands

COMMANDS = sorted(
    {
        line.split("#")[0].strip().removeprefix(".venv/bin/")
        for path in TEXTS
        for block in re.findall(r"```sh\n(.*?)```", path.read_text(), re.DOTALL)
        for line in block.splitlines()
        if line.strip().removeprefix(".venv/bin/").startswith("anypool ")
    }
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_and_its_options_exist(command):
    typer = pytest.importorskip("typer")
    from anypool.cli import app as module

    group = typer.main.get_command(module.app)
    name, *arguments = shlex.split(command)[1:]
    if name.startswith("-"):
        group.make_context("anypool", [name], resilient_parsing=True)
        return
    assert name in group.commands, f"there is no `anypool {name}`"
    group.commands[name].make_context(name, arguments)


def test_makefile_targets_that_pages_name_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target for path in TEXTS for target in re.findall(r"(?:`|^|&& )make ([a-z-]+)", path.read_text(), re.MULTILINE)
    }
    assert named <= targets


# ---------------------------------------------------------------------------------------------------------------------
# Links

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


INCLUDE = re.compile(r"^```\{include\} (\S+)$", re.MULTILINE)


def anchors(path):
    """The anchors of a page's headings, and of the files it includes, as GitHub and MyST write them."""
    text = "\n".join(
        [path.read_text(), *((path.parent / name).read_text() for name in INCLUDE.findall(path.read_text()))]
    )
    headings = HEADING.findall(re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    plain = (re.sub(r"[`*\[\]]|\(.*?\)(?=$)", "", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_links_within_the_repository_lead_somewhere(path):
    broken = []
    for link in (first or second for first, second in LINK.findall(path.read_text())):
        target, _, anchor = link.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        found = (path.parent / target).resolve() if target else path
        generated = "generated" in found.parts
        if not generated and (
            not found.exists() or not found.is_relative_to(ROOT) or (anchor and anchor not in anchors(found))
        ):
            broken.append(link)
    assert broken == []


def test_the_table_of_operators_in_the_readme_is_the_packages(tmp_path):
    """`python docs/_ext/operator_pages.py --fill README.md` writes it."""
    for name in ("torch", "keras"):
        pytest.importorskip(name)
    copy = tmp_path / "README.md"
    copy.write_text((ROOT / "README.md").read_text())
    done = run_python("docs/_ext/operator_pages.py", "--fill", copy, KERAS_BACKEND="jax")
    assert done.returncode == 0, done.stderr
    assert copy.read_text() == (ROOT / "README.md").read_text()
