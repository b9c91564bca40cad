"""The rules of the house: which room imports which, no framework before it is wanted, examples in public docstrings."""

import ast
import inspect
import re

import pytest
from processes import ROOT, run_python

import anypool

PACKAGE = ROOT / "src" / "anypool"
FRAMEWORKS = ("torch", "jax", "jaxlib", "tensorflow", "keras", "dask")
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def imports(path, outermost=False):
    """The modules a file imports, by their full names; with `outermost` only those it imports when it is imported."""
    tree = ast.parse((PACKAGE / path).read_text())
    nodes = list(module_level(tree.body)) if outermost else list(ast.walk(tree))
    here = ("anypool", *path.parent.parts)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here[: len(here) + 1 - node.level]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            yield from (full_name(module, alias.name) for alias in node.names)


def module_level(body):
    """The statements that run on import: those of the module, of its ifs and its tries, but not type checkers' own."""
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        for part in ("body", "orelse", "finalbody"):
            if isinstance(node, ast.If | ast.Try | ast.With):
                yield from module_level(getattr(node, part, []))
        for handler in getattr(node, "handlers", []):
            yield from module_level(handler.body)


def full_name(module, name):
    """`from anypool.cpu import kernels` imports a module of ours, `from anypool import Max` only the package."""
    inside = module.split(".")[1:] if module.split(".")[0] == "anypool" else None
    if inside is None:
        return module
    target = PACKAGE.joinpath(*inside, name)
    return f"{module}.{name}" if target.with_suffix(".py").exists() or target.is_dir() else module


def ours(path, **options):
    return {name for name in imports(path, **options) if name.split(".")[0] == "anypool"}


def frameworks(path, **options):
    return {name.split(".")[0] for name in imports(path, **options)} & set(FRAMEWORKS)


FLOORS = (
    ("arguments.py",),
    ("plans.py", "networks.py"),
    ("windows.py",),
    ("operators",),
    ("pooling.py",),
    ("definition.py",),
    ("masks.py", "padding.py"),
    ("saving.py", "calls.py"),
    ("cpu",),
    ("adapters",),
    ("functional.py",),
    ("regions.py",),
    ("boxes.py",),
    ("descriptors.py",),
    ("xarray",),
    ("acceleration.py",),
    ("torch", "keras", "playground", "pyramids"),
    ("lab",),
    ("cli",),
    ("__main__.py",),
)
"""The rooms from the ground up: a room imports from those below it and from itself."""


def floor_of(name):
    """The floor of a module's full name, or None for the package, whose `__init__` holds public names alone."""
    room = name.split(".")[1] if "." in name else None
    return next((i for i, rooms in enumerate(FLOORS) for r in rooms if r.removesuffix(".py") == room), None)


def test_every_room_has_a_floor():
    rooms = {path.parts[0] for path in MODULES} - {"__init__.py"}
    assert rooms == {room for rooms in FLOORS for room in rooms}


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[0] != "__init__.py"], ids=str)
def test_imports_run_down(path):
    """No module imports one of a higher floor, nor of another room on its own."""
    room = path.parts[0].removesuffix(".py")
    here = floor_of(f"anypool.{room}")
    for name in ours(path):
        there = floor_of(name)
        if there is None:
            assert name == "anypool", name
            assert path.parts[0] in ("pyramids", "lab", "cli", "cpu", "__main__.py"), f"{path} imports {name}"
        else:
            assert there < here or name.split(".")[1] == room, f"{path} imports {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[0] not in ("adapters", "torch", "keras", "lab", "cli")])
def test_the_core_knows_no_framework(path):
    assert frameworks(path) == set()


SHARED = ("base", "registry", "tasks", "partial")
"""What adapters share."""

ADAPTERS = [path for path in MODULES if path.parts[0] == "adapters" and path.stem not in ("__init__", *SHARED)]


@pytest.mark.parametrize("path", ADAPTERS, ids=str)
def test_an_adapter_imports_its_framework_and_no_other_adapter(path):
    framework = path.parts[1].removesuffix(".py")
    others = {name for name in ours(path) if name.startswith("anypool.adapters.")}
    assert {name.split(".")[2] for name in others} <= {framework, *SHARED}
    assert frameworks(path) <= {framework}


def test_only_adapters_and_the_rooms_of_a_framework_import_one_at_once():
    for path in MODULES:
        if path.parts[0] in ("adapters", "lab", "cli", "__main__.py"):
            continue
        room = path.parts[0] if path.parts[0] in ("torch", "keras") else None
        assert frameworks(path, outermost=True) <= {room}, path


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[0] in ("lab", "cli", "__main__.py")], ids=str)
def test_the_lab_and_the_command_line_use_the_public_interface(path):
    public = {"anypool", "anypool.keras", "anypool.playground", "anypool.pyramids", "anypool.torch"}
    used = {name for name in ours(path) if not name.startswith(("anypool.lab", "anypool.cli"))}
    assert used <= public
    tree = ast.parse((PACKAGE / path).read_text())
    private = [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("ap", "anypool")
        and node.attr not in (*anypool.__all__, "__version__", "keras", "torch")
    ]
    assert private == []


def test_the_reference_shares_nothing_with_the_package():
    names = re.findall(
        r"^\s*(?:import|from) (\w+)", (ROOT / "tests" / "support" / "reference.py").read_text(), re.MULTILINE
    )
    assert set(names) <= {"itertools", "math", "fractions", "numpy"}


WITHOUT = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked")

sys.meta_path.insert(0, Blocked())
{code}
"""
OPTIONAL = (
    *FRAMEWORKS,
    "zarr",
    "distributed",
    "rasterio",
    "ml_dtypes",
    "scipy",
    "sklearn",
    "skimage",
    "onnx",
    "typer",
    "rich",
    "matplotlib",
    "PIL",
    "jinja2",
)


def run_without(blocked, code):
    done = run_python("-W", "error", "-c", WITHOUT.format(blocked=set(blocked), code=code))
    assert done.returncode == 0, done.stderr


def test_numpy_alone_is_enough():
    run_without(
        OPTIONAL,
        """
import anypool as ap, numpy as np
x = np.arange(16.0).reshape(4, 4)
for impl in ("auto", "definition"):
    assert ap.max_pool(x, 2, impl=impl).tolist() == [[5, 7], [13, 15]]
    assert ap.avg_pool(x.astype("f2"), 2, impl=impl).tolist() == [[2.5, 4.5], [10.5, 12.5]]
assert ap.pool(x, ap.Lp(1), ap.Global(), (0, 1)).item() == 120
""",
    )


def test_importing_anypool_imports_no_framework():
    run_without(
        (),
        f"import anypool, numpy as np; anypool.max_pool(np.ones((2, 2)), 2); "
        f"assert not set(sys.modules) & set({OPTIONAL!r}), set(sys.modules) & set({OPTIONAL!r})",
    )


@pytest.mark.parametrize(
    ("framework", "make"),
    [
        ("torch", "import torch; x = torch.ones(2, 2)"),
        ("jax", "import jax; x = jax.numpy.ones((2, 2))"),
    ],
)
def test_an_array_brings_in_its_own_framework_alone(framework, make):
    pytest.importorskip(framework)
    others = [name for name in FRAMEWORKS if name not in (framework, "jaxlib" if framework == "jax" else framework)]
    code = f"import warnings; warnings.simplefilter('default'); import anypool; {make}; anypool.max_pool(x, 2)"
    run_without(others, code)


PUBLIC = [getattr(anypool, name) for name in anypool.__all__ if name not in ("OPERATORS", "Window")]


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda thing: thing.__name__)
def test_public_things_say_what_they_do_with_an_example(thing):
    text = inspect.getdoc(thing)
    assert text[0].isupper() or text.startswith("y = ")
    assert ">>> " in text


def test_all_is_what_there_is():
    assert sorted(anypool.__all__, key=lambda name: (not name.isupper(), name)) == anypool.__all__
    assert all(hasattr(anypool, name) for name in anypool.__all__)


TEXTS = {".py", ".pyi", ".md", ".toml", ".txt", ".cpp", ".h", ".hpp", ".jinja", ".html", ".yml", ".cmake", ""}
ROOMS = ("src", "tests", "csrc", "examples", "benchmarks", "docs")


def texts():
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*")]
    for path in [*files, *ROOT.glob("*.*"), ROOT / "Makefile"]:
        if path.is_file() and path.suffix in TEXTS and "__pycache__" not in path.parts:
            yield path, path.read_text(errors="replace")


def test_nothing_names_a_place_outside_the_repository():
    """No path of the machine it was written on, and no relative path that leads out of it."""
    absolute = [str(ROOT)] if len(ROOT.parts) > 2 else []
    for path, text in texts():
        assert [place for place in absolute if place in text] == [], path
        for relative in re.findall(r"(?<![\w/.])(?:\.\./)+[\w.-]+", text):
            assert (path.parent / relative).resolve().is_relative_to(ROOT), f"{path}: {relative}"
