"""Templates to pages. Everything is escaped: texts of models and names of files are text, never markup."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from grace.review.links import Links
from grace.review.query import Filter

if TYPE_CHECKING:
    from jinja2 import Environment

PAGES = (("gallery", "Gallery"), ("runs", "Runs"), ("audit", "Audit"), ("rate", "Agreement"))


@cache
def environment(package: str = "grace.review") -> Environment:
    """The templates of a package."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, dataset: str, links: Links, form_token: str = "", **content: Any) -> str:
    """A page as HTML.

    Args:
        template: Name of the template, without suffix.
        dataset: Name of the data set.
        links: Addresses of the application, or of an export.
        form_token: What changes are sent with; empty in an export, which can change nothing.
        content: What the template shows.
    """
    live = bool(form_token)
    page = environment().get_template(f"{template}.html")
    return page.render(
        dataset=dataset,
        links=links,
        live=live,
        form_token=form_token,
        here=content.pop("here", template),
        empty=Filter(),
        sections=[page for page in PAGES if live or page[0] in content.get("exported", ("gallery",))],
        **content,
    )
