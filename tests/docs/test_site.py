"""The site is built without a warning, its links lead somewhere, and it loads nothing from the network."""

import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from processes import ROOT, changed_environment

for needed in ("sphinx", "myst_nb", "furo", "sphinx_design", "sphinx_copybutton", "torch", "keras", "typer", "skimage"):
    pytest.importorskip(needed)


class Page(HTMLParser):
    """The anchors of a page, where it links to, and what it loads."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links, self.loads = {"", "top"}, [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        source = given.get("href") if tag == "link" and given.get("rel") != "canonical" else given.get("src")
        if source and tag in ("link", "script", "img", "iframe", "source"):
            self.loads.append(source)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; notebooks are run by a test of their own, so their outputs are left out."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-D", "nb_execution_mode=off"]
    done = subprocess.run(
        [*command, "-d", out / "doctrees", "-b", "html", ROOT / "docs", out / "html"],
        env=changed_environment({"KERAS_BACKEND": "jax"}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return out / "html"


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path.read_text()) for path in site.rglob("*.html") if "_static" not in path.parts}


def test_every_section_is_there(site):
    sections = ("start", "learn/index", "choose", "howto/index", "reference/index", "explained/index", "contribute")
    assert all((site / f"{name}.html").is_file() for name in sections)
    assert (site / "searchindex.js").is_file()
    assert {path.name for path in (site / "notebooks").iterdir()} == {"by-hand.ipynb", "why.ipynb"}


def test_links_lead_to_pages_and_to_places_in_them(pages):
    broken = []
    for path, page in pages.items():
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            found = target.is_file()
            if found and parts.fragment and target in pages:
                found = unquote(parts.fragment) in pages[target].anchors
            if not found:
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_the_network(pages):
    outside = {f"{path.name}: {load}" for path, page in pages.items() for load in page.loads if urlsplit(load).netloc}
    assert outside == set()


def test_the_operator_page_has_every_operator_and_its_picture(site):
    import anypool

    text = (site / "generated" / "operators.html").read_text()
    for name, kind in anypool.OPERATORS.items():
        assert f'id="{kind.__name__.lower()}"' in text
        assert f"operator-{name}.png" in text
        assert (site / "_images" / f"operator-{name}.png").is_file()
