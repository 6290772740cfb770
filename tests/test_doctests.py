"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import chargen

# All modules but __main__, whose import starts the program.
MODULES = [module.name for module in pkgutil.walk_packages(chargen.__path__, "chargen.")]
MODULES = ["chargen", *sorted(name for name in MODULES if name != "chargen.__main__")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert not result.failed
