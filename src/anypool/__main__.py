"""`python -m anypool` is the command line."""

from anypool.cli import main

if __name__ == "__main__":
    main()
