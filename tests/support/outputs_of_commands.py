"""What every command of the command line may create, replace or change: the table of ``test_untouched_files.py``."""

from __future__ import annotations

from dataclasses import dataclass

MODELS = "home/.local/share/mnistzip/models"


@dataclass(frozen=True)
class Case:
    """A command, and what it may create or replace; paths are below the root of the world, commands run in ``work``.

    Attributes:
        command: its words.
        creates: patterns of the paths of all files that it may create.
        outputs: some of them, which are replaced with ``-f`` only.
        guarded: paths at which nothing is ever replaced.
        source: an input; where it is damaged, the command fails.
        first: a command to run before, whose files this one may remove.
        changes: a file that is named as an output and changed without ``-f``.
        needs: what must be installed.
        follows: whether ``-f`` writes through a link, as ``cp`` does.
    """

    command: str
    creates: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    guarded: tuple[str, ...] = ()
    source: str = ""
    first: str = ""
    changes: str = ""
    needs: str = "numpy"
    follows: bool = True


def single(command: str, output: str, source: str, needs: str = "numpy") -> Case:
    """A command with one output, which ``-f`` replaces."""
    return Case(command, (output,), (output,), source=source, needs=needs)


TRAINING = "train work/set.npy -o work/m.npz --time 1s --epochs 1 -T 1"
BENCH = "bench work/set.npy -o work/results --codecs deflate --limit 3 --quiet"
SHARE = "work/pre/share"
CASES = [
    single("compress one.png", "work/one.cae", "work/one.png"),
    single("compress one.png -o out/named.cae", "work/out/named.cae", "work/one.png"),
    single("compress one.png --bare", "work/one.bare", "work/one.png"),
    Case("compress -r in", ("work/in/[ab].cae",), ("work/in/a.cae", "work/in/b.cae"), source="work/in/a.png"),
    Case("compress -r in -o out", ("work/out/[ab].cae",), ("work/out/a.cae",), source="work/in/a.png"),
    single("compress in -o all.cae", "work/all.cae", "work/in/a.png"),
    single("compress few.npy", "work/few.cae", "work/few.npy"),
    single("compress few.npy --labels truth.txt -o out/new.cae", "work/out/new.cae", "work/truth.txt"),
    single("compress pair.npz", "work/pair.cae", "work/pair.npz"),
    single("compress few-idx3-ubyte.gz", "work/few-idx3-ubyte.cae", "work/few-idx3-ubyte.gz"),
    single("compress table.parquet", "work/table.cae", "work/table.parquet", "pyarrow"),
    Case("compress in -o kept.cae --append", source="work/kept.cae", changes="work/kept.cae"),
    Case(
        "compress in --engine ray -o shards",
        ("work/shards/*",),
        guarded=("work/shards/part-00000.cae", "work/shards/_manifest.json", "work/shards/mine"),
        source="work/in/a.png",
        needs="ray",
    ),
    single("decompress two.cae", "work/two.png", "work/two.cae"),
    single("decompress two.cae -o out/two.pgm", "work/out/two.pgm", "work/two.cae"),
    single("decompress s.bare --bare", "work/s.png", "work/s.bare"),
    single("decompress -r packed", "work/packed/p.png", "work/packed/p.cae"),
    single("decompress -r packed -o out", "work/out/p.png", "work/packed/p.cae"),
    Case(
        "decompress many.cae --to folder", ("work/many/*",), ("work/many/x.png", "work/many/labels.csv"), source="work/many.cae"
    ),
    Case(
        "decompress many.cae --to idx",
        ("work/many-images-idx3-ubyte", "work/many-labels-idx1-ubyte"),
        ("work/many-images-idx3-ubyte", "work/many-labels-idx1-ubyte"),
        source="work/many.cae",
    ),
    Case(
        "decompress many.cae -o out/i-idx3-ubyte --labels out/l",
        ("work/out/i-idx3-ubyte", "work/out/l"),
        ("work/out/l",),
        source="work/many.cae",
    ),
    single("decompress many.cae --to npy", "work/many.npy", "work/many.cae"),
    single("decompress many.cae -o out/named.npz", "work/out/named.npz", "work/many.cae"),
    single("decompress many.cae --to parquet", "work/many.parquet", "work/many.cae", "pyarrow"),
    single("decompress many.cae --index 1", "work/many-1.png", "work/many.cae"),
    Case(
        "decompress many.cae two.cae -o out",
        ("work/out/many/*", "work/out/two.png"),
        ("work/out/two.png",),
        source="work/two.cae",
    ),
    Case("info two.cae many.cae", source="work/two.cae"),
    Case("test two.cae many.cae", source="work/two.cae"),
    Case("show two.cae", source="work/two.cae"),
    single("show many.cae -o sheet.png", "work/sheet.png", "work/many.cae"),
    Case("compare one.png two.cae", source="work/two.cae"),
    single("compare one.png two.cae -o both.png", "work/both.png", "work/two.cae"),
    Case("models"),
    Case("models --add own.npz", (f"{MODELS}/own.npz",), (f"{MODELS}/own.npz",), source="work/own.npz", follows=False),
    Case("bench set.npy --codecs deflate --limit 3 --quiet", source="work/set.npy", needs="scipy"),
    Case(
        BENCH.replace("work/", ""),
        ("work/results/*",),
        guarded=tuple(
            f"work/results/{name}" for name in ("results.json", "measurements", "plots", "report.html", "mnistzip-files.json")
        ),
        source="work/set.npy",
        needs="scipy",
    ),
    Case(
        TRAINING.replace("work/", ""),
        ("work/m.npz", "work/m.json", "work/m.md", "work/m.npz.run/*"),
        ("work/m.npz",),
        ("work/m.json", "work/m.md", "work/m.npz.run", "work/m.npz.run/plan.json"),
        source="work/set.npy",
        needs="torch",
    ),
    Case(
        f"{TRAINING} --folder work/run".replace("work/", ""),
        ("work/m.*", "work/run/*"),
        guarded=("work/run/levels.npz", "work/run"),
        source="work/set.npy",
        needs="torch",
    ),
    single("demo --no-open -o page.html", "work/page.html", ""),
    single("export own.npz --c --bare --encoder -o codec.h", "work/codec.h", "work/own.npz"),
    Case(
        "integrate --prefix pre --quiet",
        (f"{SHARE}/*",),
        (f"{SHARE}/mime/packages/mnistzip.xml", f"{SHARE}/mnistzip/integration.json"),
        follows=False,
    ),
    Case("integrate --quiet", ("home/.local/share/*", "home/.magic"), follows=False),
    Case("integrate --prefix pre --dry-run"),
    Case("integrate --prefix pre --remove --quiet", first="integrate --prefix pre --quiet"),
    Case("thumbnail two.cae thumb.png", ("work/thumb.png",), guarded=("work/thumb.png",), source="work/two.cae"),
    Case("help compress"),
]
READ, WRITTEN, NEITHER = "read", "written", "neither"
# What each argument or option that takes a text is for. One that is written to must occur in CASES.
TEXTS = {
    "compress": {
        **{"inputs": READ, "-o": WRITTEN, "--model": READ, "--labels": READ},
        **dict.fromkeys(("--array", "--shape", "--image-column", "--label-column", "--name-column"), NEITHER),
    },
    "decompress": {
        **{"inputs": READ, "-o": WRITTEN, "--model": READ, "--labels": WRITTEN},
        **dict.fromkeys(("--to", "--range"), NEITHER),
    },
    "info": {"inputs": READ},
    "test": {"inputs": READ, "--model": READ},
    "models": {"--add": READ},
    "show": {"inputs": READ, "--model": READ, "-o": WRITTEN},
    "compare": {"original": READ, "file": READ, "-o": WRITTEN, "--model": READ},
    "bench": {"data": READ, "-o": WRITTEN, "--codecs": NEITHER, "--model": READ, "--compare": READ},
    "train": {
        **{"data": READ, "-o": WRITTEN, "--folder": WRITTEN},
        **dict.fromkeys(("--time", "--recipe", "--device"), NEITHER),
    },
    "demo": {"-o": WRITTEN},
    "export": {"model": READ, "-o": WRITTEN, "-q": NEITHER},
    "integrate": {"--prefix": WRITTEN},
    "help": {"command": NEITHER},
    "thumbnail": {"source": READ, "output": WRITTEN},
}
