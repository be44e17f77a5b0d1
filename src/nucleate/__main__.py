"""`python -m nucleate` is the command `nucleate`."""

from __future__ import annotations

from nucleate.cli import main

if __name__ == "__main__":
    main()
