"""A report of drift as one HTML file that a person keeps or sends: it loads nothing, runs nothing and leads nowhere."""

from __future__ import annotations

from markupsafe import Markup

from ....core.version import VERSION
from ..drift_report.records import Report
from .drift import drift_view
from .render import STYLE, render, static


def drift_file(report: Report) -> str:
    """The file, UTF-8 text; what devices and publishers wrote is text in it and nothing else."""
    # The page's own style sheet, of this package: it holds no `</style`.
    css = Markup(static(STYLE).decode())  # noqa: S704
    return render("drift_file", view=drift_view(report), css=css, version=VERSION)
