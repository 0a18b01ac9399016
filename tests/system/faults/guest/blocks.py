"""The blocks that the writer writes: each can be told from every other, and from garbage, by itself.

Used in the machines (python3 -I -S) and by the checks on the host: the standard library only, and few modules of it,
since starting Python costs seconds under emulation.
"""

import hashlib
import struct
import zlib

SIZE = 4096

# How a block is written: O_DIRECT | O_DSYNC, or through the page cache with fsync.
DIRECT = "direct"
SYNCED = "synced"
MODES = (DIRECT, SYNCED)

_MAGIC = b"PLEXBLK1"
_HEADER = struct.Struct("<8s64sB3xIQQ")  # magic, volume, mode, slot, generation, sequence
_CRC = struct.Struct("<I")


def encode(volume: str, mode: str, slot: int, generation: int, sequence: int) -> bytes:
    """The one block of this writer (`generation`) with this number; its payload follows from its header."""
    header = _HEADER.pack(_MAGIC, volume.encode(), MODES.index(mode), slot, generation, sequence)
    body = header + hashlib.shake_128(header).digest(SIZE - len(header) - _CRC.size)
    return body + _CRC.pack(zlib.crc32(body))


def checksum(block: bytes) -> int:
    return int(_CRC.unpack_from(block, SIZE - _CRC.size)[0])


def decode(volume: str, mode: str, slot: int, block: bytes) -> "tuple[int, int] | None":
    """Generation and sequence of a block that is whole and belongs to this very place; None for anything else."""
    if len(block) != SIZE:
        return None
    generation, sequence = _HEADER.unpack_from(block)[4:]
    # Made anew rather than looked at field by field: whatever differs anywhere is garbage.
    return (generation, sequence) if block == encode(volume, mode, slot, generation, sequence) else None
