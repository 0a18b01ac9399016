"""Where the lab keeps its things. Everything that is made lies below build/lab of the checkout."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
LAB_SOURCE = CHECKOUT / "tests" / "lab"
GUEST_SOURCE = LAB_SOURCE / "guest"
BUILD = CHECKOUT / "build" / "lab"
KERNELS = BUILD / "kernel"


def run_dir(name: str) -> Path:
    """The state of the lab called `name`: sockets, consoles, disk images. Exists while the lab does."""
    return BUILD / f"run-{name}"
