"""The description tables in pandas and in DuckDB.

    python examples/tables.py [data/demo]

Everything that GRACE writes about texts is Parquet: a folder of shards is one table. Neither reader needs GRACE.
`make demo` makes the tables of the demo.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import pandas as pd


def with_pandas(folder: Path) -> pd.DataFrame:
    """Share of a label's clips whose description names a region of the face."""
    clips = pd.read_parquet(folder / "clips.parquet", columns=["clip_id", "label"])
    descriptions = pd.read_parquet(folder / "descriptions", columns=["clip_id", "cues"])
    cues = descriptions.explode("cues").dropna(subset="cues")
    cues["region"] = cues["cues"].map(lambda cue: cue["region"])
    named = cues.merge(clips, on="clip_id").groupby(["label", "region"])["clip_id"].nunique()
    share = named.div(clips.groupby("label").size(), level="label").rename("share")
    return share.reset_index().sort_values(["label", "region"], ignore_index=True)


def with_duckdb(folder: Path) -> pd.DataFrame:
    """The same table in SQL."""
    return duckdb.execute(
        """
        WITH cues AS (
            SELECT clip_id, unnest(cues).region AS region FROM read_parquet($descriptions)
        ), clips AS (
            SELECT clip_id, label, count(*) OVER (PARTITION BY label) AS of_label FROM read_parquet($clips)
        )
        SELECT label, region, count(DISTINCT clip_id) / any_value(of_label) AS share
        FROM cues JOIN clips USING (clip_id)
        GROUP BY label, region ORDER BY label, region
        """,
        {"descriptions": f"{folder}/descriptions/*.parquet", "clips": f"{folder}/clips.parquet"},
    ).df()


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "data/demo")
    if not (folder / "descriptions").is_dir():
        sys.exit(f"There are no descriptions in {folder}: run `make demo` first, or name another data set's folder.")
    share = with_pandas(folder)
    pd.testing.assert_frame_equal(share, with_duckdb(folder), check_dtype=False)
    print("Share of each label's clips whose description names a region:\n")
    print(share.pivot(index="label", columns="region", values="share").fillna(0).round(2).to_string())


if __name__ == "__main__":
    main()
