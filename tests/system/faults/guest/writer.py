"""The pod of the fault suite, run in a machine: writes numbered blocks and tells of each that was acknowledged.

    python3 -I -S writer.py VOLUME GENERATION SLOTS COUNT DIRECTORY

It first reads what is there, and says so (a database that recovers), then overwrites two rings of SLOTS blocks, one of
them past the page cache and one through it, in turns. COUNT is how many blocks: 0 only reads, -1 never ends. Lines:

    pid N                                     first of all
    made                                      the rings did not exist: now they do, safely on the disk
    found MODE SLOT GENERATION SEQUENCE       what is there; `garbage` instead of the last two
    begin                                     the blocks that follow are new
    ack SEQUENCE MODE OFFSET CHECKSUM         the kernel said that this block is safe
    error WHAT ERRNO                          the kernel said that something failed: a database would end, so we do
"""

import mmap
import os
import sys
import time

sys.path.append(os.path.dirname(os.path.abspath(__file__)))
import blocks  # noqa: E402  (-I leaves this folder out)

# A client's time to think: without it the writer alone keeps an emulated processor busy.
PAUSE_SECONDS = 0.01


def say(line):
    """Straight to the pipe: what is not written yet does not count as said."""
    os.write(1, line.encode() + b"\n")


def ring_path(directory, mode):
    return os.path.join(directory, "ring." + mode)


def make_rings(volume, directory, slots):
    """Blocks with number 0 of writer 0 everywhere. A ring appears under its name only when it is complete."""
    made = False
    for mode in blocks.MODES:
        path = ring_path(directory, mode)
        if os.path.exists(path):
            continue
        content = b"".join(blocks.encode(volume, mode, slot, 0, 0) for slot in range(slots))
        descriptor = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(descriptor, content)
        os.fsync(descriptor)
        os.close(descriptor)
        os.rename(path + ".new", path)
        made = True
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)
    if made:
        say("made")


def read_rings(volume, directory, slots):
    """Past the page cache: what the disk has."""
    lines = []
    buffer = mmap.mmap(-1, blocks.SIZE)
    for mode in blocks.MODES:
        descriptor = os.open(ring_path(directory, mode), os.O_RDONLY | os.O_DIRECT)
        for slot in range(slots):
            length = os.preadv(descriptor, [buffer], slot * blocks.SIZE)
            found = blocks.decode(volume, mode, slot, buffer[:length])
            what = "garbage" if found is None else "%d %d" % found
            lines.append("found %s %d %s" % (mode, slot, what))
        os.close(descriptor)
    for start in range(0, len(lines), 32):
        say("\n".join(lines[start : start + 32]))


def write_blocks(volume, directory, generation, slots, count):
    flags = {blocks.DIRECT: os.O_DIRECT | os.O_DSYNC, blocks.SYNCED: 0}
    rings = {mode: os.open(ring_path(directory, mode), os.O_WRONLY | flags[mode]) for mode in blocks.MODES}
    buffer = mmap.mmap(-1, blocks.SIZE)  # O_DIRECT wants memory that begins at a page
    sequence = 0
    while sequence != count:
        sequence += 1
        mode = blocks.MODES[sequence % len(blocks.MODES)]
        slot = sequence // len(blocks.MODES) % slots
        block = blocks.encode(volume, mode, slot, generation, sequence)
        buffer[:] = block
        written = os.pwrite(rings[mode], buffer, slot * blocks.SIZE)
        if written != blocks.SIZE:
            raise OSError(5, "only %d bytes were written" % written)
        if mode == blocks.SYNCED:
            os.fsync(rings[mode])
        say("ack %d %s %d %d" % (sequence, mode, slot * blocks.SIZE, blocks.checksum(block)))
        time.sleep(PAUSE_SECONDS)


def main(volume, generation, slots, count, directory):
    say("pid %d" % os.getpid())
    doing = "read"
    try:
        if count != 0:
            make_rings(volume, directory, int(slots))
        read_rings(volume, directory, int(slots))
        say("begin")
        doing = "write"
        write_blocks(volume, directory, int(generation), int(slots), count)
    except OSError as error:
        say("error %s %d" % (doing, error.errno or 0))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]))
