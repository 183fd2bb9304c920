"""What the help of each command shows, and in which order: groups of options, and examples.

A new option needs a place in :data:`PAGES`: a test fails for an option that no group names. Each example is run by a test.
"""

from __future__ import annotations

from dataclasses import dataclass

OTHER = "Other options"  # the group of options that no group names

OVERVIEW = {
    "Compress and decompress": ("compress", "decompress"),
    "Look and check": ("show", "info", "test", "compare"),
    "Models": ("models", "train"),
    "Measure": ("bench",),
    "Set up": ("integrate", "help"),
}


@dataclass(frozen=True)
class Example:
    """A command line and what it is for."""

    purpose: str
    line: str


@dataclass(frozen=True)
class Page:
    """The help of one command.

    Attributes:
        groups: title of each group and the long names of its options, in the order in which they are shown.
        examples: what people do most comes first.
    """

    groups: dict[str, tuple[str, ...]]
    examples: tuple[Example, ...]


OVERVIEW_EXAMPLES = (
    Example("digit.png to digit.cae, and back to back.png", "mnistzip compress digit.png"),
    Example("", "mnistzip decompress digit.cae -o back.png"),
    Example("What did compression change?", "mnistzip compare digit.png digit.cae"),
)

PAGES = {
    "compress": Page(
        {
            "Common options": ("--output", "--quality", "--lossless", "--recursive", "--force"),
            "Size or quality to reach": ("--max-bytes", "--min-psnr"),
            "How images are read": ("--convert",),
            "How images are coded": ("--effort", "--model", "--threads", "--device"),
            "Archives of many images": ("--labels", "--no-labels", "--append", "--embed-model"),
            "Arrays and tables": ("--array", "--shape", "--image-column", "--label-column", "--name-column"),
            "Streams without a header": ("--bare", "--check-bits"),
            "Clusters": ("--engine", "--to", "--shard-size", "--workers", "--resume"),
            "Reports": ("--json", "--quiet", "--verbose", "--help"),
        },
        (
            Example("One image: digit.png to digit.cae", "mnistzip compress digit.png"),
            Example("Keep every pixel", "mnistzip compress --lossless digit.png -o exact.cae"),
            Example("The best quality that fits an SMS", "mnistzip compress --max-bytes 140 digit.png -o sms.cae"),
            Example("A folder of images, one file for each", "mnistzip compress -r scans -o packed"),
            Example("A folder of images, in one archive", "mnistzip compress -r scans -o scans.cae"),
            Example("A data set and its labels", "mnistzip compress images.gz --labels labels.gz -o train.cae"),
        ),
    ),
    "decompress": Page(
        {
            "Common options": ("--output", "--to", "--recursive", "--force"),
            "Archives of many images": ("--index", "--range", "--labels", "--keep-going"),
            "How files are read": ("--model", "--max-pixels", "--preview", "--device"),
            "Streams without a header": ("--bare", "--quality", "--size", "--check-bits"),
            "Reports": ("--quiet", "--help"),
        },
        (
            Example("One image: digit.cae to digit.png", "mnistzip decompress digit.cae"),
            Example("A folder of files, as BMP", "mnistzip decompress -r packed -o images --to bmp"),
            Example("An archive, one image file for each", "mnistzip decompress train.cae --to folder -o images"),
            Example("An archive, as NumPy arrays with labels", "mnistzip decompress train.cae -o train.npz"),
            Example("Image 7 of an archive", "mnistzip decompress train.cae --index 7 -o seven.png"),
            Example("What is whole of a damaged archive", "mnistzip decompress train.cae --keep-going -o saved.npz"),
        ),
    ),
    "info": Page(
        {"Options": ("--verbose", "--json", "--help")},
        (
            Example("Model, quality and size of a file", "mnistzip info digit.cae"),
            Example("Each image of an archive", "mnistzip info -v train.cae"),
        ),
    ),
    "test": Page(
        {"Options": ("--recursive", "--model", "--max-pixels", "--quiet", "--help")},
        (
            Example("Is a file whole?", "mnistzip test digit.cae"),
            Example("Which files of a folder are damaged?", "mnistzip test --quiet -r packed"),
        ),
    ),
    "models": Page(
        {"Options": ("--add", "--force", "--json", "--help")},
        (
            Example("All models that can be used", "mnistzip models"),
            Example("Install a model that you have trained", "mnistzip models --add mine.npz"),
        ),
    ),
    "show": Page(
        {
            "Common options": ("--index", "--limit", "--grid", "--ascii"),
            "Sheet as an image file": ("--output", "--force"),
            "How files are read": ("--model", "--max-pixels"),
            "Help": ("--help",),
        },
        (
            Example("Draw one image", "mnistzip show digit.cae"),
            Example("The first 30 images of an archive", "mnistzip show --limit 30 train.cae"),
            Example("The same as a picture", "mnistzip show --limit 30 train.cae -o sheet.png"),
        ),
    ),
    "compare": Page(
        {
            "Sheet as an image file": ("--output", "--zoom", "--force"),
            "How files are read": ("--convert", "--model", "--max-pixels"),
            "Reports": ("--json", "--help"),
        },
        (
            Example("Size and PSNR", "mnistzip compare digit.png digit.cae"),
            Example("See the difference", "mnistzip compare digit.png digit.cae -o difference.png"),
        ),
    ),
    "bench": Page(
        {
            "What is compared": ("--codecs", "--list", "--model", "--limit", "--convert", "--budget"),
            "Where results go": ("--out", "--fresh", "--save-files"),
            "Compare two results": ("--compare", "--max-regression", "--max-slowdown"),
            "How it runs": ("--threads", "--json", "--quiet", "--help"),
        },
        (
            Example("Which codecs are there?", "mnistzip bench --list"),
            Example("Compare on your own images", "mnistzip bench scans --limit 2 --codecs classic,png"),
            Example("The same with plots and a report", "mnistzip bench scans --limit 2 --codecs classic,png --out results"),
            Example("Did anything get worse?", "mnistzip bench --compare old.json new.json"),
        ),
    ),
    "train": Page(
        {
            "Common options": ("--output", "--time", "--resume", "--force"),
            "How images are read": ("--fit", "--convert"),
            "How it trains": ("--recipe", "--epochs", "--seed", "--threads", "--device", "--folder"),
            "Help": ("--help",),
        },
        (
            Example("A model for your own images, in 20 minutes", "mnistzip train scans -o mine.npz"),
            Example("Go on where training was stopped", "mnistzip train scans -o mine.npz --resume"),
            Example("Use the model", "mnistzip compress --model mine.npz digit.png"),
        ),
    ),
    "integrate": Page(
        {
            "What is installed": ("--only",),
            "Where": ("--system", "--prefix"),
            "How": ("--remove", "--dry-run", "--force", "--quiet", "--help"),
        },
        (
            Example("See what would be installed", "mnistzip integrate --dry-run"),
            Example("Install everything for yourself", "mnistzip integrate"),
            Example("Man pages only, into a package", "mnistzip integrate --only man --prefix package/usr"),
            Example("Remove it all", "mnistzip integrate --remove"),
        ),
    ),
    "help": Page(
        {"Options": ("--help",)},
        (Example("The same as mnistzip compress --help", "mnistzip help compress"),),
    ),
    "thumbnail": Page(
        {"Options": ("--size", "--help")},
        (Example("A picture of at most 128 pixels a side", "mnistzip thumbnail digit.cae thumbnail.png --size 128"),),
    ),
}
