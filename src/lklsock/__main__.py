"""`python -m lklsock`."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
