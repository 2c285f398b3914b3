"""A swift start: what is put off is there as soon as somebody needs it, whoever that is."""

import platform
import subprocess
import sys

import pytest

BEGUN = """
import sys
from samara.hosts import swift
swift.begin()
"""


def said(program: str) -> str:
    ran = subprocess.run([sys.executable, "-c", BEGUN + program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout + ran.stderr


def test_errors_are_logged_with_their_frames() -> None:
    program = """
import logging
print("textwrap" in sys.modules)
try:
    1 / 0
except ZeroDivisionError:
    logging.exception("no")
print("textwrap" in sys.modules)
"""
    lines = said(program).splitlines()

    assert lines[:2] == ["False", "True"]
    assert "ERROR:root:no" in lines
    assert "Traceback (most recent call last):" in lines
    assert "ZeroDivisionError: division by zero" in lines


@pytest.mark.parametrize(
    "one", ["from traceback import format_exc", "import traceback; format_exc = traceback.format_exc"]
)
def test_who_imports_one_gets_what_everybody_gets(one: str) -> None:
    program = f"{one}; import importlib; print(format_exc is importlib.import_module('traceback').format_exc)"

    assert said(program).split() == ["True"]


def test_many_threads_may_need_one_at_once() -> None:
    program = """
import ipaddress
from threading import Barrier, Thread
ready, found = Barrier(32), []

def ask():
    ready.wait()
    found.append(str(ipaddress.ip_address("::1")))

threads = [Thread(target=ask) for _ in range(32)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(found), *set(found))
"""
    for _ in range(5):
        assert said(program).split() == ["32", "::1"]


def test_what_it_has_not_it_says_by_the_name_of_the_module() -> None:
    program = """
import inspect
try:
    inspect.nothing
except AttributeError as error:
    print(error)
"""
    assert said(program).strip() == "module 'inspect' has no attribute 'nothing'"


def test_which_system_this_is_is_known_at_once_and_all_else_of_it_soon() -> None:
    program = """
import platform, uuid
before = platform.system(), "subprocess" in sys.modules, "_wmi" in sys.modules
print(before[0], type(platform).__name__, platform.machine() != "", platform.system() == before[0])
print(sys.modules["platform"] is platform, sys.modules["platform"].system() == before[0])
"""
    assert said(program).split() == [platform.system(), "Later", "True", "True", "False", "True"]
