"""A reader of HdrHistogram's interval log that shares no code with the loader.

The format is that of the Java library's HistogramLogReader. Each line has an interval, a tag and a histogram. The
histogram is in the V2 encoding, compressed by zlib, as base64.
"""

import base64
import struct
import zlib
from dataclasses import dataclass

from child import Failure

COMPRESSED, V2 = 0x1C849314, 0x1C849313
HEADER = struct.Struct(">IIIIQQd")  # cookie, bytes of counts, offset, digits, lowest, highest, ratio


@dataclass(frozen=True)
class Samples:
    """The number of samples by value, ascending. The value is the highest of its bucket."""

    counts: dict

    @property
    def count(self):
        """The number of samples."""
        return sum(self.counts.values())

    def above(self, value):
        """The number of samples above `value`, to the resolution of the buckets."""
        return sum(count for found, count in self.counts.items() if found > value)

    def quantile(self, quantile):
        """The smallest value that this share of the samples does not exceed; 0 without samples."""
        rank, seen = quantile * self.count, 0
        for value, count in self.counts.items():
            seen += count
            if seen >= rank:
                return value
        return 0


def read(text):
    """The sum of all intervals of a log, by tag."""
    found = {}
    for line in text.splitlines():
        if not line or line.startswith(("#", '"')):
            continue
        tag = ""
        if line.startswith("Tag="):
            tag, _, line = line.removeprefix("Tag=").partition(",")
        try:
            counts = decode(line.split(",")[3])
        except (IndexError, ValueError, zlib.error, struct.error) as error:
            raise Failure(f"the interval log has a line that cannot be read ({error!r}): {line[:80]!r}") from error
        into = found.setdefault(tag, {})
        for value, count in counts.items():
            into[value] = into.get(value, 0) + count
    return {tag: Samples(dict(sorted(counts.items()))) for tag, counts in found.items()}


def decode(text):
    """The counts by value of one histogram."""
    packed = base64.b64decode(text, validate=True)
    cookie, length = struct.unpack_from(">II", packed)
    if cookie != COMPRESSED:
        raise ValueError(f"cookie {cookie:#x}")
    plain = zlib.decompress(packed[8:8 + length])
    cookie, length, _offset, digits, lowest, _highest, _ratio = HEADER.unpack_from(plain)
    if cookie != V2:
        raise ValueError(f"inner cookie {cookie:#x}")
    half_bits = (2 * 10**digits - 1).bit_length() - 1  # of the sub-buckets of a bucket; half of them are its own
    unit_bits = lowest.bit_length() - 1
    counts, index = {}, 0
    for number in zigzag_numbers(plain[HEADER.size:HEADER.size + length]):
        if number < 0:
            index -= number  # so many counts that are zero
            continue
        if number:
            counts[_highest_value(index, half_bits, unit_bits)] = number
        index += 1
    return counts


def _highest_value(index, half_bits, unit_bits):
    half = 1 << half_bits
    bucket, sub = (0, index) if index < 2 * half else (index // half - 1, index % half + half)
    return ((sub + 1) << (bucket + unit_bits)) - 1


def zigzag_numbers(data):
    """Numbers in seven bits a byte, least significant first. The ninth byte has eight bits."""
    value = shift = 0
    for byte in data:
        if shift == 56:
            value |= byte << shift
        else:
            value |= (byte & 0x7F) << shift
            if byte & 0x80:
                shift += 7
                continue
        yield (value >> 1) ^ -(value & 1)
        value = shift = 0
