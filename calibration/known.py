"""Rows whose rate is known to be above alpha, and why."""

from __future__ import annotations

from calibration.row import Row

KNOWN: dict[str, str] = {
    "means: 2% outliers at +10": "seven of ten samples of 16 prompts have none of the outliers, one of four of 64",
    "means: lognormal, sigma 1, n = 16": "a skewness of 6.2, of which 16 prompts show little",
    "means: lognormal, sigma 1, n = 64": "a skewness of 6.2, of which 64 prompts do not show all",
    "means: exponential, n = 16": "a skewness of 2 on 16 prompts",
    "means: lognormal, sigma 0.5, n = 16": "a skewness of 1.8 on 16 prompts",
    "templates as strata: exponential, 3 templates, n = 24": "a skewness of 2 on 8 prompts of each template",
    "over templates: lognormal, sigma 0.5, ICC 0.3": "templates whose means have a skewness of 1.5, and few of them",
}


def why(row: Row) -> str | None:
    return next((reason for start, reason in KNOWN.items() if row.label.startswith(start)), None)
