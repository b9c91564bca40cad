"""The playground beside the site, and a picture of it.

`python docs/_ext/playground_pages.py --photograph` makes the photograph that the playground begins with, and
`--picture` the picture of the playground in README.md, with Playwright and a Chromium.
"""

from __future__ import annotations

import inspect
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import anypool as ap
from anypool.playground import page

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
PHOTOGRAPH = ROOT / "src" / "anypool" / "playground" / "photograph.npy"
PICTURE = ROOT / "docs" / "_static" / "playground.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIDE = 96


def write_playground(app: Sphinx, error: Exception | None) -> None:
    """Beside the site, the page that docs/learn/playground.md shows."""
    if error is None and app.builder.format == "html":
        (Path(app.outdir) / "_static" / "playground.html").write_text(page(), encoding="utf-8")


def write_photograph() -> None:
    """The photograph of the operators' page, in 96×96 grey bytes."""
    from operator_pages import photograph

    small = ap.adaptive_pool(255 * photograph(), "average", output_size=(SIDE, SIDE))
    np.save(PHOTOGRAPH, np.rint(small).astype("uint8"))


def write_picture() -> None:
    """The upper part of the playground on a photograph, in 255 colours."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    browser_path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        file = Path(folder) / "playground.html"
        file.write_text(page(), encoding="utf-8")
        browser = started.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1180, "height": 645})
        shown.goto(file.as_uri())
        shown.evaluate("document.querySelector('input[value=picture]').click()")
        for name, value in {"size": 12, "stride": 6, "padding": 3}.items():
            shown.locator(f"#{name}").fill(str(value))
        box = shown.locator("#input canvas").bounding_box() or {}
        shown.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.42 * box["height"])
        shot = shown.screenshot()
        browser.close()
    with Image.open(io.BytesIO(shot)) as picture:
        picture.convert("RGB").quantize(255, Image.Quantize.MAXCOVERAGE).save(PICTURE, optimize=True)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", write_playground)
    return {"version": "1", "parallel_read_safe": True}


if __name__ == "__main__":
    made = {"--photograph": write_photograph, "--picture": write_picture}
    if sys.argv[1:] not in [[option] for option in made]:
        sys.exit(inspect.getdoc(sys.modules[__name__]))
    made[sys.argv[1]]()
