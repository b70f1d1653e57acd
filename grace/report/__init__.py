"""The report of a data set: data, texts, scores, failures and origin on one page that needs nothing else."""

from grace.report.page import write_report
from grace.report.pdf import find_browser, print_pdf

__all__ = ["find_browser", "print_pdf", "write_report"]
