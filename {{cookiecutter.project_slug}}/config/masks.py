"""Secrets that can be part of a text are masked in the log, in e-mail, on debug pages and in Sentry."""

import json
import re
from typing import Any

from django.views.debug import SafeExceptionReporterFilter

MASKS = [
    # The user and the password in a URL
    (re.compile(r"""://[^\s"'\\]{1,300}@"""), "://***@"),
    # The token in a link that resets a password, and wherever else it stands
    (re.compile(r"""(/reset/[^/\s"'\\]+/)[^/\s"'\\]+"""), r"\1***"),
    (re.compile(r"\b[0-9a-z]{6,7}-[0-9a-f]{32}\b"), "***"),
]


def mask(text: str) -> str:
    """Return the text without its secrets."""
    for pattern, replacement in MASKS:
        text = pattern.sub(replacement, text)
    return text


class ExceptionReporterFilter(SafeExceptionReporterFilter):
    """Hide the settings that Django hides on its debug pages, and secrets in the others."""

    def cleanse_setting(self, key: str | int, value: Any) -> Any:
        cleansed = super().cleanse_setting(key, value)
        return mask(cleansed) if isinstance(cleansed, str) else cleansed


def mask_event(event: Any, hint: Any) -> Any:
    """Called by Sentry's client with what it is about to send."""
    return json.loads(mask(json.dumps(event, default=str)))
