"""`python -m anypool` is the command line."""


def main() -> None:
    """Run the command line on this process's arguments, and exit."""
    try:
        from anypool import cli
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    cli.main()


if __name__ == "__main__":
    main()
