"""Tests look for doctests in every module; those in `peers` run in environments of their own."""

collect_ignore = ["peers"]
