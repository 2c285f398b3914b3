"""When a process looks for garbage that only a look can find: cycles, of which requests and events make none."""

import gc

YOUNG = 20_000  # objects before a look: with Python's own number, a sixth of a server's time was spent looking


def rest() -> None:
    """Look for none. While modules load nothing is garbage, and looking takes a tenth of a start."""
    gc.disable()


def resume() -> None:
    """Look now and then, and never again at what is there by now: it stays."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(YOUNG, 50, 100)
