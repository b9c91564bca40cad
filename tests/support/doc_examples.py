"""Run the examples of pages, page after page, and print a JSON object: page → what went wrong, or "".

    python -m doc_examples docs/start.md docs/torch.md

Blocks of ```python are run in the order of the page, in one namespace, and blocks of ```pycon checked as doctests.
"""

import doctest
import io
import json
import os
import re
import sys
import tempfile
import traceback
from contextlib import redirect_stdout
from pathlib import Path

BLOCK = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>python|pycon)\n(?P<code>.*?)^ *(?P=fence)$", re.DOTALL | re.MULTILINE
)


def blocks(text):
    """Line, language and code of each block of a page."""
    for found in BLOCK.finditer(text):
        indent = len(found["indent"])
        code = "\n".join(line[indent:] for line in found["code"].splitlines())
        yield text.count("\n", 0, found.start("code")), found["language"], code


def run(path):
    """What went wrong in a page; "" where nothing did."""
    namespace = {"__name__": "__main__"}
    try:
        for line, language, code in blocks(Path(path).read_text()):
            if language == "python":
                with redirect_stdout(io.StringIO()):
                    exec(compile("\n" * line + code, path, "exec"), namespace)
            elif said := check(code, namespace, path, line):
                return said
    except Exception:
        return traceback.format_exc(limit=-3)
    return ""


def check(code, namespace, path, line):
    """The report of a doctest; "" where it passes."""
    test = doctest.DocTestParser().get_doctest(code + "\n", namespace, path, path, line)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    report = io.StringIO()
    runner.run(test, out=report.write, clear_globs=False)
    namespace |= test.globs  # it runs in a copy
    return report.getvalue() if runner.failures else ""


if __name__ == "__main__":
    pages = [os.path.abspath(path) for path in sys.argv[1:]]
    answers = sys.stdout
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        os.chdir(folder)
        said = {path: run(path) for path in pages}
        os.chdir("/")
    print(json.dumps(said), file=answers)
