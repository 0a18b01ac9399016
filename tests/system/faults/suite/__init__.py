"""Random faults against a volume that is written to, and what must hold afterwards. See README.md above."""

import sys
from pathlib import Path

# What runs in the machines: they see this checkout at the same path. The host shares the layout of the blocks.
GUEST = Path(__file__).resolve().parents[1] / "guest"
LAB = Path(__file__).resolve().parents[3] / "lab"

for folder in (GUEST, LAB):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
