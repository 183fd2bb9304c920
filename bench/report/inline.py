"""Charts within a page: the SVG of matplotlib with the colours of the page, unique ids, and marks with tooltips."""

from __future__ import annotations

import html
import io
import re

from mnistzip.bench.report.plots import Chart
from mnistzip.bench.report.style import COLOURS

_NAMES = {light: name for name, (light, _) in COLOURS.items()}


def inline(chart: Chart) -> str:
    """The chart as an ``<svg>`` element that is safe within a page. The text is the same at every run.

    A mark that stands for a row has the class ``tip`` and the figures of the row in ``data-tip``.
    """
    out = io.StringIO()
    chart.figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)  # it would apply to the whole page
    svg = re.sub(r"#[0-9a-f]{6}\b", _variable, svg)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{chart.name}-", svg)
    svg = re.sub(rf'<g id="{chart.name}-tip-(\d+)">', lambda match: _mark(chart, int(match[1])), svg)
    view = re.search(r'viewBox="[^"]*"', svg)
    assert view is not None
    opening = f'<svg class="chart" role="group" aria-label="{html.escape(chart.title)}" {view[0]}>'
    return re.sub(r"<svg[^>]*>", lambda _: opening, svg, count=1)


def _variable(match: re.Match[str]) -> str:
    """The CSS variable of a colour."""
    name = _NAMES.get(match[0])
    return f"var(--{name})" if name else match[0]


def _mark(chart: Chart, index: int) -> str:
    """The opening tag of a mark."""
    text = html.escape(chart.tips[index]).replace("\n", "&#10;")
    # The Tab key stops at one mark of a chart; arrow keys lead to the others.
    return f'<g class="tip" role="img" tabindex="{-1 if index else 0}" aria-label="{text}" data-tip="{text}">'
