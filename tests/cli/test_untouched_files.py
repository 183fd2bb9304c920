"""Every command, run among files of somebody else: each byte, mode and time of them is there again, whatever happens.

The foreign files have all names and suffixes that occur in the sources. They lie wherever a command might write, in turn as
plain files, read-only files, links and folders. :data:`CASES` lists what each command may create; a test fails if a command
or an option that takes a text is missing there.
"""

from __future__ import annotations

import ast
import gzip
import io
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

import mnistzip
from mnistzip.cli.main import COMMANDS, cli, run
from mnistzip.types import Pixels
from support.outputs_of_commands import CASES, MODELS, TEXTS, WRITTEN, Case

PACKAGES = (
    "mnistzip",
    "mnistzip.cli",
    "mnistzip.io",
    "mnistzip.bench",
    "mnistzip.plugins",
    "mnistzip.training",
    "mnistzip.demo",
)
SUFFIXES = frozenset(
    re.split(
        " ",
        "bare begun bin bmp cae csv fish gz html jpg json magic md npy npz parquet partial pgm png pt run svg tar thumbnailer "
        "h tif txt webp xml zip",
    )
)
PRECIOUS = b"precious: "
FORMS = ("file", "read-only", "link", "broken link", "folder")
SECRET, MISSING = "outside/secret.txt", "outside/missing.txt"  # what links lead to


def texts_of(command: click.Command) -> set[str]:
    """The arguments and options of a command that take a text, which may be a path."""
    numbers = (click.types.IntParamType, click.types.FloatParamType, click.Choice, click.types.BoolParamType)
    taken = [parameter for parameter in command.params if not isinstance(parameter.type, numbers)]
    return {parameter.opts[0] if isinstance(parameter, click.Option) else str(parameter.name) for parameter in taken}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_and_no_output_is_left_out_of_this_walk(name: str) -> None:
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command is not None
    assert texts_of(command) == set(TEXTS[name])
    words = [word for case in CASES for word in case.command.split() if case.command.split()[0] == name]
    assert words
    assert all(option in words for option, use in TEXTS[name].items() if use == WRITTEN and option.startswith("-"))


def names_in_sources() -> set[str]:
    """Names of files that occur in the sources, and ``mine`` with every suffix."""
    names = set()
    for package in PACKAGES:
        for file in Path(str(resources.files(package))).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[\w./~-]+", node.value):
                    names.add(node.value)
    named = {name for name in names if name.rpartition(".")[2] in SUFFIXES and "/" not in name and "." in name[1:]}
    return (
        named
        | {f"mine.{suffix}" for suffix in SUFFIXES}
        | {".magic.bak", ".mnistzip-a.png-x.partial", "part-00009.cae", "x-ubyte"}
    )


NAMES = sorted(names_in_sources())


def test_the_names_of_this_program_are_found_in_its_sources() -> None:
    assert {"plan.json", "levels.npz", "labels.csv", "results.json", "report.html", "_manifest.json", "curves.png"} <= set(
        NAMES
    )
    assert "mnistzip-files.json" in NAMES


def put(root: Path, below: str, form: str) -> None:
    """Something of somebody else at a path, whatever was there."""
    path = root / below
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if form == "folder":
        path.mkdir()
        path = path / "mine.txt"
    if form in ("link", "broken link"):
        path.symlink_to(root / (SECRET if form == "link" else MISSING))
        return
    path.write_bytes(PRECIOUS + below.encode())
    os.utime(path, ns=(10**18, 10**18 + len(below)))
    if form == "read-only":
        path.chmod(0o440)


@pytest.fixture(scope="module")
def inputs(digits: Pixels) -> dict[str, bytes]:
    """Content of the inputs of all commands by their paths."""

    def saved(save: Callable[[io.BytesIO], object]) -> bytes:
        out = io.BytesIO()
        save(out)
        return out.getvalue()

    def archive(named: bool, labelled: bool) -> bytes:
        out = io.BytesIO()
        with mnistzip.ArchiveWriter(out) as writer:
            for name, image in zip("xyz", digits, strict=False):
                writer.add(image, name=f"{name}.png" if named else None, label=7 if labelled else None)
        return out.getvalue()

    many = np.concatenate([digits, digits[:, ::-1]])
    few = digits[:3].astype(np.uint8)
    made = {
        f"{name}.png": saved(lambda out, k=k: Image.fromarray(digits[k]).save(out, "PNG"))
        for k, name in enumerate(("one", "in/a", "in/b"))
    }
    made |= {f"{name}.cae": mnistzip.encode(digits[0]) for name in ("two", "packed/p")}
    made |= {"s.bare": mnistzip.encode(digits[0], bare=True), "many.cae": archive(True, True), "kept.cae": archive(True, False)}
    made["set.npy"] = saved(lambda out: np.save(out, many))
    made["pair.npz"] = saved(lambda out: np.savez(out, images=few, labels=np.arange(3)))
    made["few.npy"] = saved(lambda out: np.save(out, few))
    made["truth.txt"] = b"1\n" * len(few)
    made["few-idx3-ubyte.gz"] = gzip.compress(
        b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in few.shape) + few.tobytes()
    )
    if find_spec("pyarrow"):
        import pyarrow
        from pyarrow import parquet

        table = pyarrow.table({"image": [made["one.png"], made["in/a.png"]]})
        made["table.parquet"] = saved(lambda out: parquet.write_table(table, out))
    made["own.npz"] = (resources.files("mnistzip.pretrained") / "classic.npz").read_bytes()
    return made


@pytest.fixture
def world(tmp_path: Path, inputs: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine full of somebody else's files, and the inputs of all commands."""
    (tmp_path / "outside").mkdir()
    (tmp_path / SECRET).write_bytes(PRECIOUS)
    os.utime(tmp_path / SECRET, ns=(10**18, 10**18))
    for below, content in inputs.items():
        path = tmp_path / "work" / below
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    places = (
        "work",
        "work/out",
        "home",
        "home/.cache/mnistzip",
        "home/.local/share",
        "home/.local/share/mnistzip",
        "work/pre/share",
    )
    for place in places:
        for number, name in enumerate(NAMES):
            put(tmp_path, f"{place}/{name}", FORMS[(number + len(place)) % len(FORMS)])
    for place in ("work/in", "work/packed", MODELS, "work/m.npz.run.old", "work/pre/share/mnistzip"):
        for name in ("mine.txt", "mine.pt", "plan.json", "labels.csv", ".mnistzip-a-1.partial", "integration.txt"):
            put(tmp_path, f"{place}/{name}", "file")
    for name, value in {
        "HOME": "home",
        "USERPROFILE": "home",
        "XDG_DATA_HOME": "home/.local/share",
        "XDG_CACHE_HOME": "home/.cache",
    }.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.setenv("PATH", "")  # no tool of the desktop
    monkeypatch.setattr("mnistzip.storage.atomic._sync", lambda _: None)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def state(root: Path) -> dict[str, tuple[object, ...]]:
    """What there is below a folder: kind and mode of each path; of files time and content, too; of links where they lead."""
    result: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                more: tuple[object, ...] = (os.readlink(path),)
            else:
                more = () if stat.S_ISDIR(status.st_mode) else (status.st_mtime_ns, path.read_bytes())
            result[path.relative_to(root).as_posix()] = (status.st_mode, *more)
    return result


def check(
    root: Path, case: Case, before: dict[str, tuple[object, ...]], may_change: tuple[str, ...] = (), below: str = ""
) -> None:
    """All is as it was, but for the files that may change, and those that the case creates, or that are new below a folder."""
    after = state(root)
    lost = {path for path, what in before.items() if after.get(path) != what} - set(may_change)
    assert not lost, f"{case.command}: changed {sorted(lost)}"
    new = {path for path in set(after) - set(before) if not stat.S_ISDIR(int(str(after[path][0])))} - set(may_change)
    stray = {path for path in new if not any(fnmatch(path, pattern) for pattern in (*case.creates, f"{below}/*"))}
    assert not stray, f"{case.command}: created {sorted(stray)}"
    assert not [path for path in new if ".mnistzip-" in path]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training takes a moment, and shards are packed without a cluster."""

    def here(job: object, shards: list[object], _workers: int | None) -> Iterator[object]:
        from mnistzip.plugins.sharding import pack_shard

        yield from (pack_shard(job, job.find_model(), shard) for shard in shards)  # type: ignore[attr-defined, arg-type]

    if find_spec("ray"):
        monkeypatch.setattr("mnistzip.plugins.ray._reports", here)
    if find_spec("torch"):
        from mnistzip.training import budgeted_recipe

        sizes = budgeted_recipe.Config(width=12, hidden=6, blocks=1, anchors=3, prior_width=2, prior_hidden=2, symbol_max=5)
        monkeypatch.setattr(budgeted_recipe, "CONFIG", sizes)
        monkeypatch.setattr(budgeted_recipe, "PIXELS", budgeted_recipe.PixelConfig(ink=4, solid=4, level=4, shade=8, key=2))
        monkeypatch.setattr(budgeted_recipe, "EPOCHS", dict.fromkeys(budgeted_recipe.SHARES, 1))


def words(case: Case, *more: str) -> list[str]:
    """The command of a case, whose needs must be installed."""
    for name in (case.needs, "jinja2", "matplotlib") if case.needs == "scipy" else (case.needs,):
        pytest.importorskip(name)
    return [*case.command.split(), *more]


def has_force(case: Case) -> bool:
    command = cli.get_command(click.Context(cli), case.command.split()[0])
    return command is not None and any("-f" in parameter.opts for parameter in command.params)


def each(*chosen: Callable[[Case], tuple[str, ...]]) -> list[object]:
    """A parameter for each case and each of the paths chosen."""
    pairs = [(case, path) for case in CASES for choose in chosen for path in choose(case)]
    return [pytest.param(case, path, id=f"{case.command}-{path}") for case, path in pairs]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.command)
def test_files_around_a_command_that_succeeds_stay(case: Case, world: Path) -> None:
    before = state(world)
    if case.first:
        assert run(case.first.split()) == 0
    assert run(words(case)) == 0
    check(world, case, before, (case.changes,))
    assert all((world / output).is_file() for output in case.outputs)


@pytest.mark.parametrize(("case", "output"), each(lambda case: case.outputs, lambda case: case.guarded))
def test_whatever_is_where_an_output_goes_stays(case: Case, output: str, world: Path) -> None:
    for form in FORMS:
        put(world, output, form)
        before = state(world)
        refused = run(words(case)) in (1, 2)
        assert refused or form == "folder", form
        check(world, case, before, below=output)


@pytest.mark.parametrize(("case", "path"), each(lambda case: case.guarded))
def test_what_was_not_named_as_an_output_stays_even_with_f(case: Case, path: str, world: Path) -> None:
    for form in FORMS:
        put(world, path, form)
        before = state(world)
        refused = run(words(case, *["-f"] * has_force(case))) in (1, 2)
        assert refused or form == "folder", form
        check(world, case, before, below=path)


@pytest.mark.parametrize(("case", "output"), each(lambda case: case.outputs))
def test_nothing_but_the_output_is_replaced_with_f(case: Case, output: str, world: Path) -> None:
    foreign = state(world)
    for form in FORMS[:1] if case.needs == "torch" else FORMS:
        put(world, output, form)
        before = foreign | {path: what for path, what in state(world).items() if path.startswith(output)}
        done = run(words(case, "-f")) == 0
        assert done or form not in ("file", "read-only"), form
        through = {"link": (SECRET,), "broken link": (MISSING,)}.get(form, ()) if case.follows else ()
        check(world, case, before, (output, *through) if done else (), below=output)
        if done and form != "folder":
            assert not (world / output).read_bytes().startswith(PRECIOUS)
        (world / MISSING).unlink(missing_ok=True)
        (world / SECRET).write_bytes(PRECIOUS)
        os.utime(world / SECRET, ns=(10**18, 10**18))


@pytest.mark.parametrize("case", [case for case in CASES if case.source], ids=lambda case: case.command)
def test_files_around_a_command_that_fails_stay(case: Case, world: Path) -> None:
    (world / case.source).write_bytes(b"damaged")
    before = state(world)
    assert run(words(case)) in (1, 2)
    check(world, case, before)


@pytest.mark.parametrize("when", [1, 2])
@pytest.mark.parametrize("case", [case for case in CASES if case.creates or case.changes], ids=lambda case: case.command)
def test_files_around_a_command_that_is_interrupted_stay(
    case: Case, when: int, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(world)
    calls = []
    replace = os.replace

    def interrupt(*paths: str) -> None:
        calls.append(paths)
        if len(calls) == when:
            raise KeyboardInterrupt
        replace(*paths)

    command = words(case)
    monkeypatch.setattr(os, "replace", interrupt)
    assert run(command) == (130 if len(calls) >= when else 0)
    check(world, case, before, (case.changes,) if when == 2 else ())
