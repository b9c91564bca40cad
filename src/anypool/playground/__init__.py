"""The playground: one page on which a reader moves a window over a picture and sees what pooling does.

The page computes by itself, in `pooling.js`, and loads nothing; names, formulas and settings are those of the Python
operators. tests/playground/ compares its numbers with the package's.
"""

from anypool.playground.document import page

__all__ = ["page"]
