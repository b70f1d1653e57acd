"""How much of the label is in the words: a bag-of-words classifier, cross-validated over groups of clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from grace.pipeline.audit.lexicon import without_emotion_words
from grace.pipeline.audit.sources import AuditedText

CV_FOLDS = 5
MIN_GROUPS = 10
"""Groups that a label needs, so that each fold trains and tests on some."""
TOP_WORDS = 5
"""Words listed per label: those of the largest weight."""
BOOTSTRAP_SAMPLES = 1000
"""Bootstrap samples of the interval; groups are drawn, not texts."""


def bag_of_words(texts: Sequence[AuditedText], seed: int = 0) -> dict[str, Any] | None:
    """UAR of a classifier that sees the words alone (and again without the emotion words), with its chance level.

    TF-IDF of words and word pairs, logistic regression with balanced classes, stratified grouped cross-validation;
    labels of fewer than :data:`MIN_GROUPS` groups are left out. None when fewer than two labels remain. ``interval`` is
    of 95 %, by bootstrap over the groups.
    """
    usable = [text for text in texts if text.label and text.text.strip()]
    groups_of = Counter(label for label, _ in {(text.label, text.group) for text in usable})
    labels = [label for label, groups in sorted(groups_of.items()) if groups >= MIN_GROUPS]
    usable = [text for text in usable if text.label in labels]
    if len(labels) < 2:
        return None
    true = np.array([labels.index(text.label) for text in usable])
    groups = np.array([text.group for text in usable])
    documents = [text.text for text in usable]
    predicted = _predictions(documents, true, groups, seed)
    bare = _predictions([without_emotion_words(text) for text in documents], true, groups, seed)
    return {
        "texts": len(usable),
        "labels": labels,
        "groups": len(set(groups.tolist())),
        "folds": CV_FOLDS,
        "UAR": _uar(true, predicted),
        "interval": _interval(true, predicted, groups, seed),
        "UAR_without_emotion_words": _uar(true, bare),
        "chance": round(1 / len(labels), 4),
        "recall": {label: round(float((predicted[true == k] == k).mean()), 4) for k, label in enumerate(labels)},
        "telling": _top_words(documents, true, labels),
    }


def _model() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, max_features=50_000)
    return make_pipeline(words, LogisticRegression(C=3.0, class_weight="balanced", max_iter=300))


def _predictions(documents: Sequence[str], true: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """The label of each text, by a model that saw no text of its group."""
    from sklearn.model_selection import StratifiedGroupKFold

    predicted = np.zeros_like(true)
    for train, test in StratifiedGroupKFold(CV_FOLDS, shuffle=True, random_state=seed).split(documents, true, groups):
        model = _model().fit([documents[index] for index in train], true[train])
        predicted[test] = model.predict([documents[index] for index in test])
    return predicted


def _uar(true: np.ndarray, predicted: np.ndarray) -> float:
    return round(float(np.mean([(predicted[true == k] == k).mean() for k in np.unique(true)])), 4)


def _interval(true: np.ndarray, predicted: np.ndarray, groups: np.ndarray, seed: int) -> list[float]:
    """Correct and all answers are counted once by group and label, so that a sample is a sum of rows."""
    _, group = np.unique(groups, return_inverse=True)
    labels = int(true.max()) + 1
    every, right = np.zeros((2, int(group.max()) + 1, labels))
    np.add.at(every, (group, true), 1)
    np.add.at(right, (group, true), predicted == true)
    rng = np.random.default_rng(seed)
    uars = []
    for _ in range(BOOTSTRAP_SAMPLES):
        drawn = rng.integers(0, len(every), len(every))
        seen = every[drawn].sum(axis=0)
        uars.append(float((right[drawn].sum(axis=0)[seen > 0] / seen[seen > 0]).mean()))
    return [round(float(bound), 4) for bound in np.percentile(uars, [2.5, 97.5])]


def _top_words(documents: Sequence[str], true: np.ndarray, labels: Sequence[str]) -> dict[str, list[str]]:
    """The words of the largest weight for each label, in a model of all texts."""
    model = _model().fit(list(documents), true)
    names = model[0].get_feature_names_out()
    weights = model[1].coef_
    if len(labels) == 2:
        weights = np.concatenate([-weights, weights])
    return {label: names[np.argsort(-weights[k])[:TOP_WORDS]].tolist() for k, label in enumerate(labels)}
