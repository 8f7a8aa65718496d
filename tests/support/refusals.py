"""What an error says, where all of its text is a promise."""

from collections.abc import Callable
from typing import Any

import pytest

from memocache import ConfigurationError


def refusal(call: Callable[..., object], *args: Any, kind: type[Exception] = ConfigurationError, **options: Any) -> str:
    """Return what the error of exactly this *kind* says that *call* raises."""
    with pytest.raises(kind) as refused:
        call(*args, **options)
    assert type(refused.value) is kind
    return str(refused.value)
