"""Charts as part of a page: matplotlib's SVG with the page's colours, ids of its own, and marks that can be asked."""

from __future__ import annotations

import html
import io
import re

from mnistzip.bench.report.plots import Chart
from mnistzip.bench.report.style import COLOURS

_NAMES = {light: name for name, (light, _) in COLOURS.items()}


def inline(chart: Chart) -> str:
    """The chart as an ``<svg>`` element: safe to put into a page as it is, and the same at every run.

    A mark that stands for a row has the class ``tip``, and what is known of the row in ``data-tip``.
    """
    out = io.StringIO()
    chart.figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)  # it would apply to all of the page
    svg = re.sub(r"#[0-9a-f]{6}\b", _variable, svg)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{chart.name}-", svg)
    svg = re.sub(rf'<g id="{chart.name}-tip-(\d+)">', lambda found: _mark(chart, int(found[1])), svg)
    view = re.search(r'viewBox="[^"]*"', svg)
    assert view is not None
    opening = f'<svg class="chart" role="group" aria-label="{html.escape(chart.title)}" {view[0]}>'
    return re.sub(r"<svg[^>]*>", lambda _: opening, svg, count=1)


def _variable(found: re.Match[str]) -> str:
    name = _NAMES.get(found[0])
    return f"var(--{name})" if name else found[0]


def _mark(chart: Chart, at: int) -> str:
    told = html.escape(chart.tips[at]).replace("\n", "&#10;")
    # One mark of a chart is a stop of the Tab key; arrow keys lead to the others.
    return f'<g class="tip" role="img" tabindex="{-1 if at else 0}" aria-label="{told}" data-tip="{told}">'
