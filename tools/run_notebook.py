"""Execute the notebook in ``docs/notebooks`` in a new kernel, and write it back with its outputs: ``nox -s notebook``.

    python tools/run_notebook.py

It needs the dependency group ``notebook``, torch and matplotlib.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebooks" / "from-autoencoder-to-codec.ipynb"
STRICT = "import warnings; warnings.simplefilter('error'); warnings.filterwarnings('ignore', module='ipykernel')"
SECONDS_MAX = 1800  # of a cell, the start of the kernel, and the wait for outputs, on a busy machine


def executed() -> nbformat.NotebookNode:
    """The notebook with new outputs. An error or a warning in a cell is raised."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(NOTEBOOK.parent)}}
    client = NotebookClient(
        notebook,
        timeout=SECONDS_MAX,
        startup_timeout=SECONDS_MAX,
        iopub_timeout=SECONDS_MAX,
        raise_on_iopub_timeout=True,  # rather than leave out outputs
        resources=where,
        record_timing=False,
        extra_arguments=[f"--IPKernelApp.exec_lines={STRICT}"],
    )
    return client.execute()


def main() -> None:
    notebook = executed()
    notebook.metadata = {"kernelspec": notebook.metadata.kernelspec, "language_info": {"name": "python"}}
    nbformat.write(notebook, NOTEBOOK)
    print(f"{NOTEBOOK.name}: {NOTEBOOK.stat().st_size} bytes")


if __name__ == "__main__":
    main()
