"""The tables of the native engine are those of Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mnistzip.entropy.cdf import OCTAVES
from mnistzip.entropy.cost import COST
from support.paths import ROOT

ENGINE = ROOT / "engine"
COMPILER = next(filter(shutil.which, ("cc", "gcc", "clang")), None)
MAIN = """
#include "engine.h"
#include <stdio.h>

int main(void)
{
    for (size_t k = 0; k < sizeof mnz_octaves / sizeof *mnz_octaves; k++) printf("%d\\n", (int)mnz_octaves[k]);
    for (uint32_t freq = 1; freq <= MNZ_TOTAL; freq++) printf("%d\\n", (int)mnz_cost(freq));
    return 0;
}
"""


@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None or os.name == "nt", reason="needs a C compiler")
def test_powers_of_two_and_costs_are_those_of_python(tmp_path: Path) -> None:
    source, program = tmp_path / "tables_main.c", tmp_path / "tables"
    source.write_text(MAIN)
    files = [str(source), str(ENGINE / "tables.c")]
    subprocess.run([str(COMPILER), "-std=c11", f"-I{ENGINE}", *files, "-o", str(program)], check=True)
    numbers = np.array(subprocess.run([program], capture_output=True, check=True).stdout.split(), np.int64)
    octaves, costs = np.split(numbers, [len(OCTAVES)])
    assert (octaves == OCTAVES).all()
    assert (costs == COST[1:]).all()
