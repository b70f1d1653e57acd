"""Several texts of a clip say more than one: a bag of words on real captions of AFEW, trained on train, tested on dev.

Four captions of each clip lie in shared/captions (Qwen2.5-VL 3B and 7B, two prompts each; SMIL-SPCRAS, ICCVW 2025). A
logistic regression on tf-idf of words and pairs of words learns from each text as a sample of its own; at test the
logits of a clip's texts are averaged, as the trainer does with `tokens.texts`. Its strength is chosen on train, by
cross-validation in which a clip's texts stay together. Every choice of one, two, three and four captions is tried.

    python -m benchmarks.several_texts [--quick]

Ends with one line of JSON: gain_two (goal 3) and gain_four, in points of UAR over the mean of single captions, with
intervals (95 %, bootstrap over clips).
"""

from __future__ import annotations

import argparse
import sys
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.harness import SHARED, Benchmark, table
from grace.trainer.significance import counted, resampled, statistics

if TYPE_CHECKING:
    import pandas as pd

MODELS = ("afew_qwen2.5-vl-{}_{}.csv", "afew_qwen2.5-vl-{}_{}_prompt2.csv")
LABELS = ["Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise"]
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)
RESAMPLES = 2000

BENCHMARK = Benchmark("several_texts", __doc__, keys=("gain_two", "gain_four"), quick="one choice of each number")


def parser() -> argparse.ArgumentParser:
    """The options."""
    return BENCHMARK.parser()


def captions(part: str) -> tuple[pd.DataFrame, np.ndarray]:
    """The texts of the clips of a part, one column per source, and the number of each clip's label."""
    import pandas as pd

    tables = [
        pd.read_csv(SHARED / "captions" / name.format(size, part)).set_index("video_name")
        for name in MODELS
        for size in ("7b", "3b")
    ]
    texts = pd.concat([each["text"] for each in tables], axis=1, join="inner", keys=range(len(tables)))
    truth = tables[0].loc[texts.index, LABELS].to_numpy()
    known = truth.sum(1) == 1
    return texts[known].fillna(""), truth[known].argmax(1)


def scores(train: tuple[pd.DataFrame, np.ndarray], test: pd.DataFrame, sources: tuple[int, ...]) -> np.ndarray:
    """Mean logits of each test clip [clips, classes], from these sources alone."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline

    texts, labels = train
    samples = np.concatenate([texts[source].to_numpy() for source in sources])
    clip = np.tile(np.arange(len(texts)), len(sources))
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    regression = LogisticRegression(class_weight="balanced", max_iter=2000)
    search = GridSearchCV(
        make_pipeline(words, regression),
        {"logisticregression__C": STRENGTHS},
        scoring="balanced_accuracy",
        cv=StratifiedGroupKFold(5, shuffle=True, random_state=0),
    ).fit(samples, labels[clip], groups=clip)
    logits: np.ndarray = np.mean([search.decision_function(test[source].to_numpy()) for source in sources], axis=0)
    return logits


def uars(labels: np.ndarray, predicted: list[np.ndarray]) -> np.ndarray:
    """Mean UAR of some predictions [1 + RESAMPLES]: of the clips as they are, then of each draw of them."""
    right = np.array([each == labels for each in predicted], dtype=float)
    classes = len(LABELS)
    total, hits = resampled(labels, right, classes, RESAMPLES)
    whole = [statistics(*counted(labels, each, classes), LABELS, ())["UAR"] for each in right]
    drawn = [statistics(total, each, LABELS, ())["UAR"] for each in hits]
    return np.concatenate([[np.mean(whole)], np.mean(drawn, axis=0)])


def main() -> None:
    """Every choice of captions, and what several give over one."""
    args = parser().parse_args()
    if not (SHARED / "captions").is_dir():
        sys.exit(f"This benchmark reads the captions in {SHARED / 'captions'}, which is not there.")
    train, (test, labels) = captions("train"), captions("dev")
    by_number = {}
    for number in range(1, len(test.columns) + 1):
        choices = list(combinations(range(len(test.columns)), number))[: 1 if args.quick else None]
        predicted = [scores(train, test, choice).argmax(1) for choice in choices]
        by_number[number] = uars(labels, predicted)
    rows = [
        (f"{number} of 4", f"{100 * values[0]:.1f}", *_difference(values - by_number[1]))
        for number, values in by_number.items()
    ]
    columns = ("captions", "UAR", "over one", "95 %")
    names = {1: "one", 2: "two", 3: "three", 4: "four"}
    figures = {
        **{f"uar_{names[number]}": round(100 * float(values[0]), 2) for number, values in by_number.items()},
        **{f"gain_{names[n]}": round(100 * float(v[0] - by_number[1][0]), 2) for n, v in by_number.items() if n > 1},
        **{f"interval_{names[n]}": _interval(v - by_number[1]) for n, v in by_number.items() if n > 1},
        "train_clips": len(train[1]),
        "test_clips": len(labels),
    }
    title = f"UAR of a bag of words on {len(labels)} clips of AFEW dev, mean over the choices"
    BENCHMARK.report(figures, keep=not args.quick, tables=[table(title, columns, rows)])


def _interval(difference: np.ndarray) -> list[float]:
    low, high = np.quantile(difference[1:], [0.025, 0.975])
    return [round(100 * float(low), 2), round(100 * float(high), 2)]


def _difference(difference: np.ndarray) -> tuple[str, str]:
    low, high = _interval(difference)
    return f"{100 * difference[0]:+.1f}", f"{low:+.1f} to {high:+.1f}"


if __name__ == "__main__":
    main()
