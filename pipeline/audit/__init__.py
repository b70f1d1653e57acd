"""What is in texts about faces, counted: lengths, repeats, emotions, regions, how much of the label, how much truth.

``sources`` reads a data set's texts or any table, ``lexicon`` holds the words that are looked for, ``measures`` counts,
``classifier`` says how much of the label the words hold, ``ground_truth`` compares with the rendered world, ``report``
puts all of it together, ``tables`` and ``plots`` show it.
"""

from grace.pipeline.audit.ground_truth import GroundTruth, read_truth
from grace.pipeline.audit.report import audit, refining, write_report
from grace.pipeline.audit.sources import AuditedText, TextsByKind, read_dataset_texts, read_table_texts
from grace.pipeline.audit.tokenizer import load_fast_tokenizer

__all__ = [
    "AuditedText",
    "GroundTruth",
    "TextsByKind",
    "audit",
    "load_fast_tokenizer",
    "read_dataset_texts",
    "read_table_texts",
    "read_truth",
    "refining",
    "write_report",
]
