"""Units: durations and sizes in the units that suit them, for whoever reads a terminal or a page."""

from typing import Final

# Seconds of a unit, its name, and those of the next smaller one.
LONG: Final = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def duration(seconds: float) -> str:
    """Return *seconds* in the two largest units: "12.8 ms", "3.5 s", "5 min", "23 h 59 min"."""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 0.0995:
        return f"{seconds * 1000:.3g} ms" if seconds else "0 s"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    unit, name, part, part_name = next(each for each in LONG if whole >= each[0])
    rest = whole % unit // part
    return f"{whole // unit:,} {name}" + (f" {rest} {part_name}" if rest else "")


def size(number: int) -> str:
    """Return a *number* of bytes: "204 B", "2.1 kB", "33.6 MB", "1.07 GB"."""
    amount = float(number)
    for unit in ("B", "kB", "MB"):
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:,.3g} GB"
