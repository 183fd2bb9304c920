"""Tasks of development: ``nox -s NAME``. ``nox -l`` lists them, CONTRIBUTING.md explains them."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "test"]
nox.options.reuse_existing_virtualenvs = True

PROJECT = nox.project.load_toml("pyproject.toml")
PINNED = ("-c", "constraints.txt")
# All extras but train, which would bring torchvision.
EXTRAS = ",".join(extra for extra in PROJECT["project"]["optional-dependencies"] if extra != "train")
OPTIONAL = (
    "atheris", "datasets", "furo", "imagecodecs", "ipykernel", "matplotlib", "myst_nb", "nbclient", "ray", "selenium",
    "skimage", "sphinx", "sphinx_copybutton", "torch", "torchmetrics", "zarr", "ziglang",
)  # fmt: skip


def install(session: nox.Session, extras: str, *groups: str) -> None:
    """Install this checkout as users get it, not editable: mypy and import-linter do not follow an editable install.

    The first command installs all packages but torch, those that build this checkout included; the second one the rest.
    """
    install_locked(session, *filter(None, extras.split(",")), *groups, "setuptools")
    project = f".[{extras}]" if extras else "."
    session.install("--no-build-isolation", *PINNED, project, *nox.project.dependency_groups(PROJECT, *groups))


def install_locked(session: nox.Session, *names: str) -> None:
    """Install packages of requirements/ci.txt, whose hashes pip compares; names are those of extras, groups and packages."""
    locked = Path(session.virtualenv.location) / "locked.txt"
    locked.write_text(session.run("python", "tools/lock.py", "--select", *names, silent=True, log=False) or "")
    session.install("--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(locked))


@nox.session(name="install", venv_backend="none", default=False)
def install_for_work(session: nox.Session) -> None:
    """Install the package, all extras and all tools into the active environment, editable."""
    requirements = nox.project.dependency_groups(PROJECT, "dev")
    session.run("python", "-m", "pip", "install", *PINNED, "-e", f".[{EXTRAS}]", *requirements)


@nox.session
def test(session: nox.Session) -> None:
    """Run the default tests; arguments go to pytest."""
    install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session(name="test-all", default=False)
def test_all(session: nox.Session) -> None:
    """Run all tests, and check how much of the code they reach; arguments go to pytest."""
    install(session, EXTRAS, "test-all")
    session.run("pytest", "-m", "", "--cov", "--cov-report=term", *session.posargs)


@nox.session(name="test-rest", default=False)
def test_rest(session: nox.Session) -> None:
    """Run the tests that did not pass in an earlier run: ``nox -s test-rest -- --except-passed=REPORT.xml``."""
    install(session, EXTRAS, "test-all")
    session.run("python", "-c", f"import {', '.join(OPTIONAL)}")
    session.run("pytest", "-m", "", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and the direction of imports."""
    install(session, "", "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    install(session, EXTRAS, "types")
    session.run("mypy")


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Check the examples and the figures of the documentation."""
    install(session, "test", "site")
    session.run("pytest", "-m", "", "tests/docs", "tests/plugins/test_plugins.py", *session.posargs)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Write requirements/ci.txt anew: the packages that CI installs, with the hashes of their files."""
    install_locked(session, "uv")
    session.run("python", "tools/lock.py", "--write")


@nox.session(default=False)
def sbom(session: nox.Session) -> None:
    """Write what a user gets with mnistzip into ``runs/mnistzip.cdx.json``, an SBOM of CycloneDX."""
    install_locked(session, "cyclonedx-bom")
    users = Path(session.virtualenv.location) / "users"
    session.run("python", "-m", "venv", "--clear", "--without-pip", str(users))
    session.run("python", "-m", "pip", "--python", str(users), "install", "-q", *PINNED, ".")
    Path("runs").mkdir(exist_ok=True)
    options = ("--pyproject", "pyproject.toml", "--output-reproducible", "--output-file", "runs/mnistzip.cdx.json")
    session.run("cyclonedx-py", "environment", *options, str(users))


@nox.session(default=False)
def site(session: nox.Session) -> None:
    """Build the site of the documentation into ``runs/site``; warnings are errors."""
    install(session, "", "site")
    session.run("sphinx-build", "-W", "--keep-going", "-n", "-q", "-c", "docs", ".", "runs/site", *session.posargs)
    session.log("open runs/site/index.html")


@nox.session(default=False)
def vectors(session: nox.Session) -> None:
    """Add golden files that are missing, write their hashes, and decode all of them."""
    install(session, "test")
    session.run("python", "tools/make_vectors.py")
    session.run("pytest", "tests/conformance/test_vectors.py")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure the codecs, and write the tables of README.md: ``nox -s bench -- IMAGES``."""
    install(session, "bench")
    session.run("mnistzip", "bench", *session.posargs, "--out", "runs/bench", "-T", "2")
    for results in ("results.json", "results.csv"):
        shutil.copy(Path("runs/bench") / results, "bench/results")
    for plot in Path("runs/bench/plots").glob("*.png"):
        shutil.copy(plot, "docs/bench")
    session.run("python", "-m", "mnistzip.bench.update_readme")


@nox.session(default=False)
def notebook(session: nox.Session) -> None:
    """Execute the notebook in docs/notebooks, and write it back with its outputs."""
    install(session, "bench,torch", "notebook")
    session.run("python", "tools/run_notebook.py")
