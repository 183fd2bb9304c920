/**
 * Check that the pure wheel works in Pyodide:
 *
 *     MNISTZIP_BUILD=pure pip wheel --no-deps -w dist .
 *     npm install --no-save pyodide
 *     node tools/pyodide_check.mjs dist/mnistzip-*-py3-none-any.whl
 *
 * Pyodide fetches numpy, pillow, click and rich from its own server. Without it, only the modules of the standard library are checked
 * that mnistzip imports.
 */
import { readFile } from "node:fs/promises";
import { loadPyodide } from "pyodide";

const pyodide = await loadPyodide();
pyodide.FS.writeFile("/mnistzip.whl", new Uint8Array(await readFile(process.argv[2])));
pyodide.FS.writeFile("/digit.cae", new Uint8Array(await readFile(new URL("../tests/vectors/valid/mnist-q50.cae", import.meta.url))));
pyodide.FS.writeFile("/digit.pgm", new Uint8Array(await readFile(new URL("../tests/vectors/valid/mnist-q50.pgm", import.meta.url))));

const missing = pyodide.runPython(`
import ast, importlib, pathlib, site, sys, zipfile
root = pathlib.Path(site.getsitepackages()[0])
zipfile.ZipFile("/mnistzip.whl").extractall(root)
names = set()
for file in (root / "mnistzip").rglob("*.py"):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module)
missing = []
for name in sorted(name for name in names if name.split(".")[0] in sys.stdlib_module_names):
    try:
        importlib.import_module(name)
    except ImportError:
        missing.append(name)
" ".join(missing)
`);
console.log(`modules of the standard library that are missing: ${missing || "none"}`);
await pyodide.loadPackage(["numpy", "pillow", "click", "rich"], { messageCallback: () => {} }).catch(() => {});
console.log(pyodide.runPython(`
try:
    import numpy
except ImportError:
    result = "numpy cannot be fetched: nothing was coded"
else:
    import mnistzip
    data = open("/digit.cae", "rb").read()
    image = mnistzip.decode(data)
    assert image.tobytes() == open("/digit.pgm", "rb").read()[-784:]
    assert (mnistzip.decode(mnistzip.encode(image, lossless=True)) == image).all()
    result = f"{mnistzip.__version__} codes and decodes"
result
`));
