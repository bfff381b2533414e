# SPDX-License-Identifier: Apache-2.0
"""Make hostile files and archives by rule, all checksums right, and read them on every path.

    python tests/fuzz/hostile.py                   1,000 of them: some minutes
    python tests/fuzz/hostile.py --count 100 --seed 7 --keep finds

Each is read in a process of its own: opened, listed, verified and salvaged, or described, decoded and
salvaged. It may take 2 s of processor time, and 256 MiB beside the picture that it gives. Exit code 1 if one
takes more, or ends with another error than a `BBCodecError`.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import resource
import struct
import sys
import time
import traceback
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

import bbcodec
from bbcodec import container, modelfile
from bbcodec.archive import Archive, sections, tables
from bbcodec.archive.check import describe, verify
from bbcodec.container import Section, recovery, varint
from bbcodec.errors import BBCodecError
from bbcodec.families.family import family_of
from bbcodec.picture.picture import MODES

MAX_SECONDS: Final = 2.0  # of processor time, for each path
MAX_BYTES: Final = 256 << 20  # growth of the process, beside the picture

_KILL_SECONDS: Final = 30  # of processor time; then the process that reads is killed

Rule = Callable[[random.Random], bytes]


def deflated(raw: bytes) -> bytes:
    """Return a table as archives hold them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    small = packer.compress(raw) + packer.flush()
    return varint(len(raw)) + varint(len(small)) + small


def long_names(count: int, size: int = 4096) -> bytes:
    """Return packed names that share all bytes but the last ones with the name before."""
    first = b"a" * (size - 4)
    out = [varint(0) + varint(size) + first + b"0000"]
    chars = b"0123456789abcdefghijklmnopqrstuvwxyz"
    for i in range(1, count):
        last = bytes(chars[i // 36**k % 36] for k in range(3, -1, -1))
        out.append(varint(size - 4) + varint(4) + last)
    return b"".join(out)


def same_names(count: int, size: int = 4096) -> bytes:
    """Return packed names that are equal: two or three bytes each, which deflate to almost nothing."""
    return varint(0) + varint(size) + b"a" * size + (varint(size) + varint(0)) * (count - 1)


def run(count: int, mode: str = "RGB", side: int = 8) -> bytes:
    """Return the packed run of equal pictures."""
    return bytes([MODES[mode].code, 0]) + varint(side) + varint(side) + varint(count)


def model_section() -> bytes:
    """Return a section that names a released model."""
    return sections.section("MODL", bytes.fromhex(modelfile.load_named("fast").id))


def archive(body: bytes, index: bytes, previous: int = 0) -> bytes:
    """Return an archive of sections and an index, given by its raw table."""
    data = sections.head() + body
    at = len(data)
    data += sections.section("INDX", varint(previous) + deflated(index))
    return data + sections.tail(at, len(data))


def batch(table: bytes, message: bytes = bytes(8), channels: int = 3) -> bytes:
    """Return a section of pictures, given by its raw table."""
    return sections.section("BTCH", varint(0), bytes([channels]), bytes(8), deflated(table), b"\1", message)


# --- archives ---------------------------------------------------------------------------------------------


def index_of_names(rng: random.Random) -> bytes:
    """A small index that names very many pictures, with long names, in a section that holds nothing."""
    count = rng.choice([1000, 60_000, 500_000, 4_000_000])
    names = same_names(count, rng.choice([1, 100, 4096]))
    body = model_section() + batch(b"\1" + same_names(1) + run(1) + b"\1\0")
    return archive(body, b"\1" + varint(16) + b"\1" + varint(64) + varint(count) + names + run(count) + b"\0")


def index_of_different_names(rng: random.Random) -> bytes:
    """An index of as many pictures as its archive has bytes, or as any archive may have, with long names."""
    count = rng.choice([1000, 16_000, 65_536, 150_000])
    body = model_section() + sections.section("BTCH", bytes(rng.choice([30, 150_000])))
    names = long_names(count, rng.choice([5, 300, 4096]))
    return archive(body, b"\1" + varint(16) + b"\1" + varint(64) + varint(count) + names + run(count) + b"\0")


def index_of_sections(rng: random.Random) -> bytes:
    """An index of very many sections at one place, or one byte after the other."""
    count = rng.choice([1000, 100_000, 2_000_000])
    table = b"\0" + varint(count) + (bytes([rng.choice([0, 1, 16]), 0]) * count)
    names = same_names(count) + run(count)
    return archive(batch(b"\1" + same_names(1) + run(1) + b"\1\0"), table + names + b"\0")


def index_of_models(rng: random.Random) -> bytes:
    """An index of very many models, all the same one."""
    count = rng.choice([1000, 100_000, 3_000_000])
    return archive(model_section(), varint(count) + b"\x10" * count + b"\0\0")


def index_in_disorder(rng: random.Random) -> bytes:
    """An index whose order is no permutation."""
    count = rng.choice([1000, 60_000])
    table = b"\0\1" + varint(16) + varint(count) + long_names(count, 5) + run(count)
    return archive(sections.section("BTCH", bytes(count)), table + b"\1" + b"\1" * count)


def chain_of_indices(rng: random.Random) -> bytes:
    """Indices that unfold to much, each naming the one before."""
    data, previous = sections.head(), 0
    table = deflated(b"\0" * (rng.choice([1, 1 << 16, 1 << 22]) - 1) + b"\0")
    if rng.random() < 0.5:
        table = deflated(b"\0\0\0")
    for _ in range(rng.choice([10, 300, 5000]) if len(table) < 100 else 20):
        at = len(data)
        data += sections.section("INDX", varint(previous) + table)
        previous = at
    return data + sections.tail(previous, len(data))


def batches_of_names(rng: random.Random) -> bytes:
    """Batches whose tables unfold to very many names; the index is missing."""
    count = rng.choice([1000, 65_000, 1_000_000])
    names = rng.choice([same_names, long_names])(min(count, 65_000) if rng.random() < 0.5 else 1000)
    one = batch(varint(count) + names + run(count) + b"\1\0", bytes(rng.choice([8, 4000])))
    return sections.head() + model_section() + one * rng.choice([1, 5, 40])


def empty_sections(rng: random.Random) -> bytes:
    """Very many sections with nothing in them."""
    count = rng.choice([1000, 50_000, 100_000])
    kind = rng.choice(["zzzz", "FILE", "BTCH", "MODL", "INDX", "TAIL", "COPY", "RCVR"])
    data = sections.head() + sections.section(kind) * count
    if rng.random() < 0.5:
        return data
    index = sections.section("INDX", varint(0) + deflated(b"\0\0\0"))
    return data + index + sections.tail(len(data), len(data) + len(index))


def deep_names(rng: random.Random) -> bytes:
    """Pictures in folders as deep as names can tell."""
    file = io.BytesIO()
    with Archive(file, "w", method="classic") as out:
        for i in range(rng.choice([1, 20])):
            out["a/" * rng.choice([100, 1000, 2047]) + f"{i}"[:1]] = np.zeros((2, 2), np.uint8)
            if len(out) > 9:
                break
    return file.getvalue()


def metadata_of_batches(rng: random.Random) -> bytes:
    """A batch whose pictures have metadata that unfold to much, all of them the same or different ones."""
    file = io.BytesIO()
    with Archive(file, "w", model="fast", method="learned", verify=False) as out:
        for i in range(12):
            out[f"{i:02}"] = np.full((8, 8, 3), 9 * i, np.uint8)
    data = file.getvalue()
    place = next(m for m in sections.walk(sections.Source(file)) if m.kind == "BTCH")
    found = tables.unpack_batch(data[place.at + 12 : place.end - 4], place.at)
    size = rng.choice([1 << 20, 1 << 25, 1 << 26])
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"\1" + varint(size) + packer.compress(bytes(size)) + packer.flush()
    kinds = rng.choice([1, 12])
    blobs = tuple(
        b"iccp" + varint(len(bomb)) + bomb + b"xmpd" + varint(3) + b"\0%02d" % (i % kinds) for i in range(12)
    )
    changed = tables.pack_batch(
        tables.Batch(0, found.digest, found.entries, blobs, found.plain, found.message), 3
    )
    body = data[16 : place.at] + sections.section("BTCH", *changed)
    names = b"".join(varint(0) + varint(2) + b"%02d" % i for i in range(12))
    return archive(body, b"\1" + varint(16) + b"\1" + varint(place.at) + varint(12) + names + run(12) + b"\0")


def wrong_copies(rng: random.Random) -> bytes:
    """A section COPY with counts and sums of everything, in an archive without a tail."""
    payload = sections.head() + varint(rng.choice([0, 10**6, 2**60])) + bytes(rng.choice([0, 2000]))
    if rng.random() < 0.5:
        payload = (
            sections.head() + b"\0" + varint(16) + varint(rng.choice([0, 5, 2**60])) + bytes(1023) + b"\1"
        )
    return (
        sections.head() + model_section() + bytes(rng.choice([0, 10**6])) + sections.section("COPY", payload)
    )


def huge_pictures(rng: random.Random) -> bytes:
    """A file whose header tells a huge picture, in an archive that tells the same."""
    side = rng.choice([4000, 30_000, 2**31])
    mode = rng.choice(["L", "RGB", "RGBA;16"])
    header = container.Header(MODES[mode].code, 0, side, side, bytes(8))
    data = container.write(header, [Section("CLSC", b"\1\2" + bytes(rng.choice([0, 100])))])
    body = sections.section("FILE", *tables.pack_file("a", data))
    index = b"\0\1" + varint(16) + b"\0" + b"\0\1a" + run(1, mode, side) + b"\0"
    return archive(body, index)


def huge_batches(rng: random.Random) -> bytes:
    """A batch of pictures that are huge together."""
    count, side = rng.choice([(16, 1024), (1000, 1024), (60_000, 128)])
    names = long_names(count, 5)
    body = model_section() + batch(varint(count) + names + run(count, "RGB", side) + b"\1\0", bytes(count))
    return archive(
        body,
        b"\1" + varint(16) + b"\1" + varint(64) + varint(count) + names + run(count, "RGB", side) + b"\0",
    )


def lying_recovery(rng: random.Random) -> bytes:
    """Maps of recovery data that tell very much to compute, behind damaged bytes."""
    out = bytearray(sections.head().ljust(512 * rng.choice([8, 400, 2000]), b"x"))
    end = len(out)
    for number in range(rng.choice([1, 4, 200])):
        groups, parity = rng.choice([(1, 1), (1, end // 512), (1, 30_000), (2**31, 2**31), (1000, 2)])
        start = rng.choice([0, 0, 512])
        head = struct.pack("<8sBBHIQQII", recovery.MAGIC, 1, 0, 500, number % 7, start, end, groups, parity)
        body = head + rng.randbytes(468)
        out += body + zlib.crc32(body).to_bytes(4, "little")
    return bytes(out)


# --- files ------------------------------------------------------------------------------------------------


def file_of(mode: str, side: tuple[int, int], *found: Section) -> bytes:
    """Return a file of sections."""
    return container.write(container.Header(MODES[mode].code, 0, *side, bytes(8)), found)


def file_of_empty_sections(rng: random.Random) -> bytes:
    """Very many sections that readers may skip."""
    return many_empty_sections(rng.choice([1000, 20_000, 456_976]))


def many_empty_sections(count: int) -> bytes:
    """Return a file of sections that readers may skip; there are 456,976 types of them."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    kinds = (
        letters[i // 17576 % 26] + letters[i // 676 % 26] + letters[i // 26 % 26] + letters[i % 26]
        for i in range(count)
    )
    return file_of("L", (4, 4), *(Section(kind, b"") for kind in kinds))


def file_of_classic_sections(rng: random.Random) -> bytes:
    """Very many sections with samples."""
    return file_of("RGBA", (4, 4), *[Section("CLSC", rng.randbytes(3))] * rng.choice([1000, 100_000]))


def huge_fit(rng: random.Random) -> bytes:
    """Changes of a model, as many as a section can hold."""
    size = rng.choice([1000, 100_000, (1 << 20) - 20])
    rice = rng.choice([0, 1, 0xF0, 0x88])
    count = rng.choice([1, 8 * size, 4 * size, 1 << 17, 1 << 16])
    bits = rng.choice([b"\0", b"\xff", b"\x55", b"\xaa"]) * size
    payload = b"\0\0" + bytes([0, 0, rice & 0xF0]) + varint(count) + bits
    model = bytes.fromhex(modelfile.load_named("fast").id)
    return file_of(
        "RGB",
        (8, 8),
        Section("MODL", model),
        Section("FITT", payload[: 1 << 20]),
        Section("CHNS", b"\1\1\10" + bytes(8)),
    )


def huge_file(rng: random.Random) -> bytes:
    """A huge picture in a few bytes."""
    mode = rng.choice(list(MODES))
    side = rng.choice([(32_768, 32_768), (2**30, 1), (1, 2**30), (16_384, 16_384), (2**32 - 1, 2**32 - 1)])
    payload = rng.choice(
        [
            b"\1\2" + zlib.compress(bytes(1000), wbits=-15),
            b"\1\1" + bytes(rng.choice([0, 256, 70_000])),
            b"\1" + bytes([rng.randrange(8)]) + rng.randbytes(rng.choice([0, 60])),
            b"",
        ]
    )
    kind = rng.choice(["CLSC", "CHNS"])
    found = [Section("MODL", bytes.fromhex(modelfile.load_named("fast").id)), Section(kind, payload)]
    if mode == "P":
        found.append(Section("PLTE", bytes([0]) + bytes(768)))
    if kind == "CHNS":
        blocks = -(-side[0] // 1024) * -(-side[1] // 1024)
        if blocks < 5000:
            found[1] = Section("CHNS", b"\1" + varint(blocks) + b"\x08" * blocks + rng.randbytes(8 * blocks))
    data = bytearray(file_of(mode, side, *found))
    if rng.random() < 0.5:
        data[-rng.choice([1, 2, 6])] ^= 1  # damaged: salvage goes the other way
    return bytes(data)


def many_pieces(rng: random.Random) -> bytes:
    """A list of very many pieces."""
    count = rng.choice([3, 10**5, 2**50])
    return file_of("L", (4, 4), Section("CLSC", b"\1\2"), Section("sums", varint(count) + bytes(5 * 10**5)))


def damaged_sections(rng: random.Random) -> bytes:
    """Types of sections everywhere, none of them intact."""
    words = b"CLSC\1xCRC." * rng.choice([100, 30_000])
    good = file_of("RGB", (9, 9), Section("CLSC", b"\1\2" + bytes(9)))
    return good[:-1] + words + (good[30:] if rng.random() < 0.5 else b"")


def file_with_lying_recovery(rng: random.Random) -> bytes:
    """Recovery data of a file that tell very much to compute."""
    data = bytearray(lying_recovery(rng))
    good = file_of("RGB", (9, 9), Section("CLSC", b"\1\2" + bytes(9)))
    data[: len(good)] = good
    return bytes(data)


RULES: Final[tuple[Rule, ...]] = (
    index_of_names,
    index_of_different_names,
    index_of_sections,
    index_of_models,
    index_in_disorder,
    chain_of_indices,
    batches_of_names,
    empty_sections,
    deep_names,
    metadata_of_batches,
    wrong_copies,
    huge_pictures,
    huge_batches,
    lying_recovery,
    file_of_empty_sections,
    file_of_classic_sections,
    huge_fit,
    huge_file,
    many_pieces,
    damaged_sections,
    file_with_lying_recovery,
)


# --- reading ----------------------------------------------------------------------------------------------


def _read_archive(data: bytes, *, salvage: bool) -> int:
    """Open, list, describe and verify an archive; return the bytes of its largest section of pictures."""
    with Archive(io.BytesIO(data), salvage=salvage, threads=1) as found:
        list(found)
        if not salvage:
            describe(found.reader)
        most = 0
        for number, (stored, error) in enumerate(verify(found.reader)):
            if error is None:
                most = max(most, sum(entry.samples for entry in stored.entries))
            if number == 20:
                break
        return 2 * most


def _read_file(data: bytes, *, salvage: bool) -> int:
    """Describe and decode a file; return the bytes of its picture."""
    if salvage:
        return bbcodec.salvage(data, threads=1).picture.pixels.nbytes
    bbcodec.info(data)
    return bbcodec.decompress(data, threads=1).nbytes


def is_archive(data: bytes) -> bool:
    """Return whether a file begins like an archive."""
    return data.startswith(sections.MAGIC)


@dataclass(frozen=True)
class Cost:
    """What reading took: seconds of processor time, growth of the process in bytes, and a crash if any."""

    seconds: float
    memory: int
    crash: str

    @property
    def is_fine(self) -> bool:
        """Whether the reader kept the bounds."""
        return not self.crash and self.seconds <= MAX_SECONDS and self.memory <= MAX_BYTES


def _peak() -> int:
    """Return the largest memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def cost(data: bytes, *, salvage: bool) -> Cost:
    """Read a file or an archive in a forked process, and return what that took."""
    entry, exit_ = os.pipe()
    child = os.fork()
    if not child:
        crash, picture = "", 0
        # What the parent had in memory counts in the child: measure from there.
        before, started = _peak(), time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (int(started) + _KILL_SECONDS, int(started) + _KILL_SECONDS))
        try:
            read = _read_archive if is_archive(data) else _read_file
            picture = read(data, salvage=salvage)
        except BBCodecError:
            pass
        except BaseException:
            crash = traceback.format_exc()[-2000:]
        took = time.process_time() - started
        text = f"{took}\n{max(0, _peak() - before - picture)}\n{crash}"
        os.write(exit_, text.encode())
        os._exit(0)
    os.close(exit_)
    with os.fdopen(entry, "rb") as pipe:
        told = pipe.read().decode()
    os.waitpid(child, 0)
    if not told:
        return Cost(0, 0, "the process died: out of memory, or out of time")
    seconds, memory, crash = told.split("\n", 2)
    return Cost(float(seconds), int(memory), crash)


def warm_up() -> None:
    """Load what every reader needs, so that it is not measured."""
    file = io.BytesIO()
    image = np.zeros((8, 8, 3), np.uint8)
    with Archive(file, "w", model="fast", method="learned") as out:
        out["a"] = image
    list(Archive(file, salvage=True).values())
    for name in modelfile.released():
        is_deep = family_of(modelfile.load_named(name)).deep
        samples = image.astype(np.uint16) * 99 if is_deep else image
        bbcodec.decompress(bbcodec.compress(samples, method="learned", model=name))
    bbcodec.salvage(bbcodec.compress(image, recovery=5)[:-3])


def main() -> int:
    """Run the command line; return 1 if a bound was broken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for files that break a bound")
    args = parser.parse_args()
    warm_up()
    worst: dict[str, tuple[float, int, int]] = {}
    failed = 0
    for number in range(args.count):
        rule = RULES[number % len(RULES)]
        data = rule(random.Random(f"{args.seed} {number}"))
        for salvage in (False, True):
            found = cost(data, salvage=salvage)
            seconds, memory, count = worst.get(rule.__name__, (0.0, 0, 0))
            worst[rule.__name__] = max(seconds, found.seconds), max(memory, found.memory), count + 1
            if not found.is_fine:
                failed += 1
                print(
                    f"{rule.__name__}, number {number}, {len(data)} bytes, salvage {salvage}: "
                    f"{found.seconds:.2f} s, {found.memory >> 20} MiB {found.crash}",
                    flush=True,
                )
                if args.keep:
                    args.keep.mkdir(parents=True, exist_ok=True)
                    (args.keep / f"{rule.__name__}-{number}.bb").write_bytes(data)
    for name, (seconds, memory, count) in worst.items():
        print(f"{name:28} {count:4} readings, at most {seconds:5.2f} s, {memory >> 20:4} MiB")
    print(f"{args.count} files and archives, {failed} broken bounds")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
