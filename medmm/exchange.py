"""Answers of a child process on their way back: small ones as messages, arrays through memory that goes from one to the other.

A volume in a message is copied time and again, through a socket that holds a fraction of it. Here the child writes its arrays
once, into a file that has no name and lies in memory (memfd_create(2)), and hands over the file; the arrays that the parent
gets lie in it, and it is gone when they are.
"""

import mmap
import os
import pickle
import struct
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import TypeAlias

SHARED_BYTES = 1 << 20
"""Answers whose arrays hold less go as a message: handing over a file costs as much as copying this."""

ALIGNMENT = 64
"""Of the beginning of an array, as libraries of linear algebra like it."""

Packed: TypeAlias = tuple[bytes, Sequence[memoryview]]
"""An answer without its arrays, and the bytes of these."""


def pack(answer: object) -> Packed:
    """Give an answer as bytes; arrays are not copied.

    Raises:
        Exception: It cannot be pickled.
    """
    buffers: list[pickle.PickleBuffer] = []
    whole = pickle.dumps(answer, protocol=5, buffer_callback=buffers.append)
    parts = [buffer.raw() for buffer in buffers]
    if sum(part.nbytes for part in parts) < SHARED_BYTES:
        return pickle.dumps(answer, protocol=5), []
    return whole, parts


def size_of(packed: Packed) -> int:
    """Give the bytes of a packed answer."""
    return len(packed[0]) + sum(part.nbytes for part in packed[1])


def send(line: Connection, packed: Packed) -> None:
    """Send a packed answer."""
    whole, parts = packed
    line.send_bytes(struct.pack(f"{len(parts)}q", *(part.nbytes for part in parts)))
    line.send_bytes(whole)
    if parts:
        file = os.memfd_create("answer")
        try:
            for part in parts:
                _write(file, part)
            send_handle(line, file, os.getppid())
        finally:
            os.close(file)


def receive(line: Connection) -> object:
    """Give the next answer; its arrays can be written to.

    Raises:
        EOFError: The child is gone.
        OSError: It went in the middle of the answer.
    """
    sizes = [size for (size,) in struct.iter_unpack("q", line.recv_bytes())]
    whole = line.recv_bytes()
    if not sizes:
        return pickle.loads(whole)  # noqa: S301 - from our own child
    file = recv_handle(line)
    try:
        memory = mmap.mmap(file, 0, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
    finally:
        os.close(file)
    parts, at = [], 0
    for size in sizes:
        parts.append(memoryview(memory)[at : at + size])
        at += _aligned(size)
    return pickle.loads(whole, buffers=parts)  # noqa: S301


def _write(file: int, part: memoryview) -> None:
    """Write an array, so that the next one begins on a multiple of 64 bytes."""
    left = part.cast("B") if part.nbytes else part
    while left.nbytes:
        left = left[os.write(file, left) :]
    os.write(file, bytes(_aligned(part.nbytes) - part.nbytes))


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
