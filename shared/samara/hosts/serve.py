"""`python -m samara.hosts.serve [MODEL…]` serves one function, `SAMARA_FUNCTION` or predict, at `HOST` and `PORT`.

With `LOG_LEVEL=WARNING` it is silent about what goes well: captures tell that anyway.
"""

from samara.hosts import swift


def main() -> None:
    swift.begin()
    from samara.hosts import alone  # noqa: PLC0415  # now

    alone.from_surroundings()


if __name__ == "__main__":
    main()
