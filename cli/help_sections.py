"""Groups of options and examples for the help of each command.

A new option needs a group in :data:`PAGES`: a test fails for an option without a group. A test runs each example.
"""

from __future__ import annotations

from dataclasses import dataclass

OTHER = "Other options"  # the group of options without a group

OVERVIEW = {
    "Compress and decompress": ("compress", "decompress"),
    "View and check": ("show", "info", "test", "compare", "demo"),
    "Models": ("models", "train", "export"),
    "Measure": ("bench",),
    "Set up": ("integrate", "help"),
}


@dataclass(frozen=True)
class Example:
    """A command line and its purpose."""

    purpose: str
    line: str


@dataclass(frozen=True)
class Page:
    """The help of one command.

    Attributes:
        groups: title of each group and the long names of its options, in the order of the help.
        examples: the most common first.
    """

    groups: dict[str, tuple[str, ...]]
    examples: tuple[Example, ...]


OVERVIEW_EXAMPLES = (
    Example("digit.png to digit.cae, and back to back.png", "mnistzip compress digit.png"),
    Example("", "mnistzip decompress digit.cae -o back.png"),
    Example("Measure the error of compression", "mnistzip compare digit.png digit.cae"),
)

PAGES = {
    "compress": Page(
        {
            "Common options": ("--output", "--quality", "--lossless", "--max-error", "--recursive", "--force"),
            "Limits of size and quality": ("--max-bytes", "--min-psnr"),
            "Reading images": ("--convert",),
            "Coding": ("--effort", "--model", "--threads"),
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
            "Reading files": ("--model", "--max-pixels", "--preview", "--threads"),
            "Streams without a header": ("--bare", "--quality", "--size", "--check-bits"),
            "Reports": ("--quiet", "--help"),
        },
        (
            Example("One image: digit.cae to digit.png", "mnistzip decompress digit.cae"),
            Example("A folder of files, as BMP", "mnistzip decompress -r packed -o images --to bmp"),
            Example("An archive, one image file for each", "mnistzip decompress train.cae --to folder -o images"),
            Example("An archive, as NumPy arrays with labels", "mnistzip decompress train.cae -o train.npz"),
            Example("Image 7 of an archive", "mnistzip decompress train.cae --index 7 -o seven.png"),
            Example("The undamaged images of a damaged archive", "mnistzip decompress train.cae --keep-going -o saved.npz"),
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
            Example("Check a file for damage", "mnistzip test digit.cae"),
            Example("List the damaged files of a folder", "mnistzip test --quiet -r packed"),
        ),
    ),
    "models": Page(
        {"Options": ("--add", "--force", "--json", "--help")},
        (
            Example("List all models", "mnistzip models"),
            Example("Install a model that you have trained", "mnistzip models --add mine.npz"),
        ),
    ),
    "show": Page(
        {
            "Common options": ("--index", "--limit", "--grid", "--ascii"),
            "Sheet as an image file": ("--output", "--force"),
            "Reading files": ("--model", "--max-pixels"),
            "Help": ("--help",),
        },
        (
            Example("Draw one image", "mnistzip show digit.cae"),
            Example("The first 30 images of an archive", "mnistzip show --limit 30 train.cae"),
            Example("The same as an image file", "mnistzip show --limit 30 train.cae -o sheet.png"),
        ),
    ),
    "compare": Page(
        {
            "Sheet as an image file": ("--output", "--zoom", "--force"),
            "Reading files": ("--convert", "--model", "--max-pixels"),
            "Reports": ("--json", "--help"),
        },
        (
            Example("Size and PSNR", "mnistzip compare digit.png digit.cae"),
            Example("Draw the difference", "mnistzip compare digit.png digit.cae -o difference.png"),
        ),
    ),
    "demo": Page(
        {"Options": ("--output", "--all-models", "--no-open", "--force", "--help")},
        (
            Example("Write the page and open it", "mnistzip demo"),
            Example("Write it to publish it", "mnistzip demo --no-open -o demo.html"),
        ),
    ),
    "bench": Page(
        {
            "What to compare": ("--codecs", "--list", "--model", "--limit", "--convert", "--budget"),
            "Results": ("--out", "--fresh", "--save-files"),
            "Compare two results": ("--compare", "--max-regression", "--max-slowdown"),
            "How to run": ("--threads", "--json", "--quiet", "--help"),
        },
        (
            Example("List the codecs", "mnistzip bench --list"),
            Example("Compare on your own images", "mnistzip bench scans --limit 2 --codecs classic,png"),
            Example("The same with plots and a report", "mnistzip bench scans --limit 2 --codecs classic,png --out results"),
            Example("Compare two results", "mnistzip bench --compare old.json new.json"),
        ),
    ),
    "train": Page(
        {
            "Common options": ("--output", "--time", "--resume", "--force"),
            "Reading images": ("--fit", "--convert"),
            "How to train": ("--recipe", "--kind", "--epochs", "--seed", "--threads", "--device", "--folder"),
            "Help": ("--help",),
        },
        (
            Example("A model for your own images, in 20 minutes", "mnistzip train scans -o mine.npz"),
            Example("Continue an interrupted training", "mnistzip train scans -o mine.npz --resume"),
            Example("Use the model", "mnistzip compress --model mine.npz digit.png"),
        ),
    ),
    "export": Page(
        {
            "What to write": ("--c", "--bare", "--quality", "--encoder", "--decoder"),
            "Where": ("--output", "--force"),
            "Reports": ("--quiet", "--help"),
        },
        (
            Example("One quality", "mnistzip export mnist-fast --c --bare --quality 25 -o digit_codec.h"),
            Example("An encoder for some qualities", "mnistzip export mnist-fast --c --bare -q 10-25 --encoder -o sender.h"),
        ),
    ),
    "integrate": Page(
        {
            "What to install": ("--only",),
            "Where": ("--system", "--prefix"),
            "How": ("--remove", "--dry-run", "--force", "--quiet", "--help"),
        },
        (
            Example("List the files to install", "mnistzip integrate --dry-run"),
            Example("Install all files for this user", "mnistzip integrate"),
            Example("Man pages only, into a package", "mnistzip integrate --only man --prefix package/usr"),
            Example("Remove all files", "mnistzip integrate --remove"),
        ),
    ),
    "help": Page(
        {"Options": ("--help",)},
        (Example("The same as mnistzip compress --help", "mnistzip help compress"),),
    ),
    "thumbnail": Page(
        {"Options": ("--size", "--help")},
        (Example("A picture of at most 128 pixels per side", "mnistzip thumbnail digit.cae thumbnail.png --size 128"),),
    ),
}
