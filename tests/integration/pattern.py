#!/usr/bin/env python3
"""Bytes that say where they belong: what is sent where a stream must be complete and in order.

    pattern.py write N    the first N of them to standard output
    pattern.py check      reads standard input to its end and prints how many came; exits 1 at the first wrong one
"""
import os
import random
import sys

BLOCK = 1 << 20
STEP = 977  # bytes that each block lies behind the one before it in BASE; a prime, so that all of them differ
BASE = random.Random(4).randbytes(2 * BLOCK)


def block(number):
    at = number * STEP % BLOCK
    return BASE[at:at + BLOCK]


class Checker:
    """Takes the stream piece by piece."""

    def __init__(self):
        self.length = 0

    def take(self, data):
        while data:
            number, at = divmod(self.length, BLOCK)
            piece, data = data[:BLOCK - at], data[BLOCK - at:]
            if piece != block(number)[at:at + len(piece)]:
                raise AssertionError(f"of {len(piece)} bytes from {self.length} on some are wrong")
            self.length += len(piece)


def write(length):
    for number in range(-(-length // BLOCK)):
        data = memoryview(block(number))[:length - number * BLOCK]
        while data:
            data = data[os.write(1, data):]


def check():
    checker = Checker()
    while data := os.read(0, BLOCK):
        checker.take(data)
    print(checker.length)


if __name__ == "__main__":
    write(int(sys.argv[2])) if sys.argv[1] == "write" else check()
