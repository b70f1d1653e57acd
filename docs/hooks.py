"""What MkDocs does beside its settings: pages from files outside docs/, links between them, roles in docstrings."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Documents of the project's folder, and the pages that they become."""

NOTEBOOK = "examples/predict.ipynb"
CLASSES = re.compile(r"\{\{ classes (\S+) \}\}")
LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)\s#]+)(#[^)\s]*)?(?=\))")
ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`~?([\w.]+)`")


class Roles(griffe.Extension):
    """Sphinx's roles, which editors know, become code in the pages: :class:`~a.b.C` is ``C``."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = ROLE.sub(lambda role: f"`{role[1].rpartition('.')[2]}`", obj.docstring.value)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents of the project's folder, and the notebook."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, "examples-notebook.md", content=notebook(ROOT / NOTEBOOK)))
    return files


def notebook(file: Path) -> str:
    """A notebook as Markdown: its texts, and its code in fences."""
    parts = []
    for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join(parts)


def classes(name: str) -> str:
    """The classes of a module as a fence of code, without the imports above and the functions below."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    code = "\n\n\n".join(str(ast.get_source_segment(text, node)) for node in found)
    return f'```python title="{name}"\n{code}\n```'


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in code, and point links at pages; what is a file of the project and no page stays as its name."""
    markdown = CLASSES.sub(lambda found: classes(found[1]), markdown)
    folder = (ROOT / "docs" / page.file.src_uri).parent
    if page.file.src_uri in PAGES.values():
        folder = ROOT

    def target(link: re.Match[str]) -> str:
        path = (folder / link[1]).resolve()
        if not path.is_relative_to(ROOT):
            return link[0]
        name = path.relative_to(ROOT).as_posix()
        uri = PAGES.get(name, name.removeprefix("docs/"))
        if files.get_file_from_path(uri):
            return "../" * page.file.src_uri.count("/") + uri + (link[2] or "")
        return "" if path.exists() else link[0]

    rewritten = LINK.sub(target, markdown)
    return re.sub(r"\[([^\]]+)\]\(\)", r"\1", rewritten)
