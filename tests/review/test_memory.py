"""What the server holds in memory: one clip of a shard, no library that it can do without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from grace.pipeline.errors import UserError
from grace.pipeline.store import Store
from grace.pipeline.store.schemas import TOKENS
from grace.review.alignment import Neighbours
from grace.review.catalogue import read_catalogue
from grace.review.state import Review

EVERY_PAGE = """
import sys
from pathlib import Path
from grace.review.serve import hold_little_memory

hold_little_memory()
from grace.review.state import Review
from tests.support.review_server import ReviewServer

folder = Path(sys.argv[1])
review = Review("many", folder / "data" / "many", None, folder / "overrides")
for rater in ("ann", "bob"):
    review.ratings.add(rater, "000/000001", "caption", review.live.get().text(1, "caption"), "true")
    review.ratings.add(rater, "000/000002", "caption", review.live.get().text(2, "caption"), "partly")
with ReviewServer(review) as server:
    for page in sys.argv[2:]:
        answer = server.get(page)
        assert answer.status == 200, (page, answer.status, answer.text[-400:])
print(*(name for name in ("pandas", "sklearn", "scipy", "transformers", "matplotlib") if sys.modules.get(name)))
"""
PAGES = (
    *("/", "/?q=brows&sort=wrong", "/?says=action:jaw+drop", "/?label=fear&predicted=surprise", "/?sort=long"),
    *("/?run=grace&versus=vision&outcome=only-first", "/clip?id=000/000001", "/media/strip?id=000/000001"),
    *("/media/crops?id=000/000001", "/api/look?id=000/000001", "/api/look?id=000/000001&run=vision"),
    *("/api/neighbours?id=000/000001", "/runs?run=grace&versus=vision", "/audit", "/agreement"),
    "/rate?kind=description&rater=ann",
)


def test_no_page_imports_what_it_can_do_without(two_runs: Path) -> None:
    command = [sys.executable, "-c", EVERY_PAGE, str(two_runs.parent.parent), *PAGES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == []


def test_neighbours_are_those_of_all_means_and_follow_the_shards(review: Review, data: Path) -> None:
    catalogue, store = review.live.get(), Store(data / "tokens", TOKENS)
    rows = [row for row in store.rows(["clip_id", "status", "frame"]) if row["status"] == "ok"]
    means = np.stack([row["frame"].astype(np.float32).mean(0) for row in rows])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    ids = [row["clip_id"] for row in rows]
    own = ids.index("000/000001")
    likeness = means @ means[own]
    expected = [ids[at] for at in np.argsort(-likeness) if at != own][:6]
    near = review.neighbours.nearest(catalogue, 1)
    assert [catalogue.clip_id(number) for number, _ in near] == expected
    assert near[0][1] == pytest.approx(float(np.sort(likeness)[-2]), abs=2e-3)

    changed = store.read(1)
    changed[0]["frame"] = store.read(0)[1]["frame"]
    store.write(1, changed, store.meta(1))
    clip_id, value = changed[0]["clip_id"], review.neighbours.nearest(catalogue, 1)[0][1]
    assert catalogue.clip_id(review.neighbours.nearest(catalogue, 1)[0][0]) == clip_id
    assert value == pytest.approx(1, abs=2e-3)


READ_TWICE = """
import random, sys
from pathlib import Path
from grace.review.catalogue import read_catalogue

folder = Path(sys.argv[1])
read_catalogue(folder)
for path in sorted((folder / "review/index").glob("*.arrow")):
    whole = path.read_bytes()
    for seed in range(40):
        content = bytearray(whole)
        content[random.Random(seed).randrange(len(content))] ^= 1 << seed % 8
        path.write_bytes(content)
        read_catalogue(folder)
        assert path.read_bytes() == whole, (path, seed)
"""


def test_a_damaged_index_is_made_again(data: Path) -> None:
    """What its offsets lead to ended the process before."""
    done = subprocess.run([sys.executable, "-c", READ_TWICE, str(data)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_text_changed_in_the_index_is_not_shown(data: Path) -> None:
    text = read_catalogue(data)[0].text(1, "caption")
    path = data / "review/index/captions.arrow"
    before, word = path.read_bytes(), text.split()[1].encode()
    path.write_bytes(before.replace(word, word.upper()))
    assert path.read_bytes() != before
    assert read_catalogue(data)[0].text(1, "caption") == text
    assert path.read_bytes() == before


def test_damaged_means_are_made_again(review: Review, data: Path) -> None:
    expected = review.neighbours.nearest(review.live.get(), 1)
    for name in ("tokens.f16", "tokens.txt"):
        path = data / "review/index" / name
        before = path.read_bytes()
        path.write_bytes(before[:70] + bytes([before[70] ^ 64]) + before[71:])
        assert review.neighbours.nearest(review.live.get(), 1) == expected
        assert path.read_bytes() == before


def test_who_asks_while_the_means_are_made_is_told(review: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grace.review.alignment.PATIENCE", 0.05)
    neighbours: Neighbours = review.neighbours
    with neighbours._lock, pytest.raises(UserError, match="look again in a while"):
        neighbours.nearest(review.live.get(), 1)
