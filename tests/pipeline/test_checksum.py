"""A sealed file is found out when any of its bytes changes."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grace.pipeline.errors import UserError
from grace.pipeline.store import read_table, write_table
from grace.pipeline.store.checksum import PLACEHOLDER, is_intact, seal, unsealed, verify
from grace.pipeline.store.schema import Schema
from grace.pipeline.store.schemas import DESCRIPTIONS, MOTION


@given(st.binary(max_size=400), st.binary(max_size=400), st.data())
def test_any_flipped_bit_is_found(before: bytes, after: bytes, data: st.DataObject) -> None:
    sealed = seal(before + PLACEHOLDER.encode() + after)
    assert is_intact(sealed)
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    changed = bytearray(sealed)
    changed[bit // 8] ^= 1 << bit % 8
    assert not is_intact(bytes(changed))


@given(st.binary(max_size=400))
def test_what_is_sealed_at_its_end_comes_back(content: bytes) -> None:
    sealed = seal(content)
    assert is_intact(sealed)
    assert unsealed(sealed) == content


def test_a_cut_or_lengthened_content_is_found() -> None:
    sealed = seal(b"content" * 50)
    assert not is_intact(sealed[:-1])
    assert not is_intact(sealed[1:])
    assert not is_intact(sealed + b"x")


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "00000.h5"
    path.write_bytes(seal(random.Random(1).randbytes(5000)))
    verify(path, "run `grace faces` again")
    content = bytearray(path.read_bytes())
    content[4000] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"00000.h5 is damaged .* run `grace faces` again"):
        verify(path, "run `grace faces` again")


def test_a_large_file_is_checked_a_part_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "00000.h5"
    path.write_bytes(seal(b"\x89HDF" + PLACEHOLDER.encode() + bytes(80 << 20)))
    script = """
        import re, sys
        from pathlib import Path
        from grace.pipeline.store.checksum import verify

        def peak():
            return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

        before = peak()
        verify(Path(sys.argv[1]), "remove it")
        print(peak() - before)
        """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 24  # MiB, of 80


def test_an_empty_file_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(UserError, match="damaged"):
        verify(tmp_path / "empty", "remove it")


@pytest.mark.parametrize("schema", [DESCRIPTIONS, MOTION])
def test_a_text_that_looks_like_a_checksum_is_a_text(schema: Schema, tmp_path: Path) -> None:
    row = {"clip_id": PLACEHOLDER, "status": "failed", "error": f'{{"checksum":"{PLACEHOLDER}'}
    path = tmp_path / "a.file"
    write_table(path, schema, [row], {"fingerprint": "f"})
    assert [{name: found[name] for name in row} for found in read_table(path, schema)] == [row]
    content = path.read_bytes()
    path.write_bytes(content.replace(b"0" * 32, b"1" * 32, 1))
    with pytest.raises(UserError, match=r"damaged|not a readable"):
        read_table(path, schema)
