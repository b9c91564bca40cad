"""What pyproject.toml promises: extras bring what their rooms import, and there is one version."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions

import pytest
from processes import ROOT

import anypool

PACKAGE = ROOT / "src" / "anypool"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

ROOMS = {
    "lab": ("lab", "cli"),
    "cluster": ("lab", "pyramids"),
    "torch": ("torch", "adapters/torch"),
    "keras": ("keras", "adapters/keras"),
    "dask": ("adapters/dask",),
    "pyramid": ("pyramids", "cli"),
    "raster": ("pyramids", "cli"),
    "xarray": ("xarray",),
}
"""For whom users install each extra; bench, docs and test are for the repository."""

BROUGHT = {
    "adapters": {"jax", "tensorflow", "ml_dtypes"},  # an array of such a kind is there already
    "lab": {"torch", "tensorflow", "markupsafe"},  # a network of the user's; jinja2 brings markupsafe
}
"""What a room imports that no extra brings."""

OTHER_NAMES = {
    "optuna": {"optuna"},
    "vl-convert-python": {"vl_convert"},
    "dask": {"dask"},
    "distributed": {"distributed"},
}


def requirements(extra):
    """The distributions that an extra brings by itself."""
    named = [re.match(r"[\w.-]+(\[\w+\])?", requirement)[0] for requirement in EXTRAS[extra]]
    inner = [name[len("anypool[") : -1] for name in named if name.startswith("anypool[")]
    own = {re.sub(r"\[.*", "", name).lower() for name in named if not name.startswith("anypool[")}
    return own.union(*(requirements(each) for each in inner)) if inner else own


@cache
def modules():
    """The names of installed packages and the distributions they are of, in small letters."""
    return {name: {owner.lower() for owner in owners} for name, owners in packages_distributions().items()}


def modules_of(distribution):
    """What a distribution is called in imports."""
    found = {name for name, owners in modules().items() if distribution in owners}
    return found or OTHER_NAMES.get(distribution, {distribution.replace("-", "_")})


def files(room):
    """The files of a room, which is a module or a folder."""
    module = PACKAGE / f"{room}.py"
    return [module] if module.is_file() else sorted((PACKAGE / room).rglob("*.py"))


def imported(*rooms):
    """The packages of others that the files of these rooms import, anywhere."""
    names = set()
    for room in rooms:
        for path in files(room):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"anypool"}


@pytest.mark.parametrize("extra", ROOMS)
def test_an_extra_brings_nothing_that_its_rooms_do_not_import(extra):
    used = imported(*ROOMS[extra])
    # Some are imported by name, as `importlib.import_module(name)`.
    text = "".join(path.read_text() for room in ROOMS[extra] for path in files(room))
    unused = {
        name
        for name in requirements(extra)
        if not modules_of(name) & used and not any(f'"{module}"' in text for module in modules_of(name))
    }
    assert unused == set()


@pytest.mark.parametrize("room", sorted({path.stem for path in PACKAGE.iterdir() if path.suffix in (".py", "")}))
def test_a_room_imports_only_what_its_extras_bring(room):
    extras = [extra for extra, rooms in ROOMS.items() if any(each.split("/")[0] == room for each in rooms)]
    allowed = {"numpy"} | BROUGHT.get(room, set())
    for extra in extras:
        allowed |= set().union(*map(modules_of, requirements(extra)))
    assert imported(room) <= allowed


def test_what_is_said_to_be_installed_can_be():
    texts = [*PACKAGE.rglob("*.py"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), ROOT / "pyproject.toml"]
    named = {extra for path in texts for extra in re.findall(r"anypool\[(\w+)\]", path.read_text())}
    assert named - {"framework"} <= set(EXTRAS)
    assert set(ROOMS) | {"bench", "docs", "test"} == set(EXTRAS)


# ---------------------------------------------------------------------------------------------------------------------
# The version


def test_the_changelog_ends_with_the_version_of_the_package():
    """The newest numbered section is the package's, and every section has its link."""
    text = (ROOT / "CHANGELOG.md").read_text()
    sections = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert sections[1] == anypool.__version__
    assert re.findall(r"^\[(.+?)\]: ", text, re.MULTILINE) == sections
    assert f"compare/v{anypool.__version__}...HEAD" in text


def test_a_tag_of_this_commit_names_the_version():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git repository")
    done = subprocess.run(["git", "tag", "--points-at", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    numbers = [tag for tag in done.stdout.split() if re.fullmatch(r"v\d+\.\d+\.\d+", tag)]
    assert set(numbers) <= {f"v{anypool.__version__}"}


def test_the_version_stands_once():
    assert PROJECT["dynamic"] == ["version"]
    text = (ROOT / "docs" / "conf.py").read_text() + (ROOT / "pyproject.toml").read_text()
    assert f'"{anypool.__version__}"' not in text
