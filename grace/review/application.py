"""The web application: pages, pictures, and the few things that people can change."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from grace.pipeline.audit.report import PLOTS
from grace.pipeline.errors import ClipError, GraceError, UserError
from grace.review import alignment, pictures, video, views
from grace.review.corrections import ConflictError
from grace.review.guard import Guard
from grace.review.links import Links
from grace.review.pages import AUDIT_PLOTS, agreement_page, audit_page, rate_page, runs_page
from grace.review.query import Filter
from grace.review.rendering import render
from grace.review.state import Review

if TYPE_CHECKING:
    from starlette.types import ASGIApp

logger = logging.getLogger(__name__)
STATIC = Path(__file__).parent / "static"
KEPT = {"cache-control": "private, max-age=300"}

THREADS = 6
"""Requests that are worked on at once; a browser sends six. More would only hold more memory."""

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


def make_application(review: Review, token: str) -> ASGIApp:
    """The application of one data set, behind its guard.

    Args:
        review: The data set.
        token: The secret that the address holds.
    """
    site = _Site(review, Links())
    routes = [
        Route("/", site.page(site.gallery)),
        Route("/clip", site.page(site.clip)),
        Route("/runs", site.page(site.runs)),
        Route("/audit", site.page(site.audit)),
        Route("/rate", site.page(site.rate)),
        Route("/agreement", site.page(site.agreement)),
        Route("/media/strip", site.page(site.strip)),
        Route("/media/crops", site.page(site.crops)),
        Route("/media/video", site.page(site.video)),
        Route("/media/audit", site.page(site.audit_plot)),
        Route("/api/look", site.page(site.look)),
        Route("/api/neighbours", site.page(site.near)),
        Route("/api/correct", site.change(site.correct), methods=["POST"]),
        Route("/api/undo", site.change(site.undo), methods=["POST"]),
        Route("/api/rate", site.change(site.add_rating), methods=["POST"]),
        Route("/favicon.ico", lambda request: FileResponse(STATIC / "icon.svg", headers=KEPT)),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={404: site.not_found}), token)


class _Site:
    """The answers to requests. Each runs in a thread, so that a slow one keeps nobody waiting."""

    def __init__(self, review: Review, links: Links) -> None:
        self.review, self.links = review, links
        self._threads: CapacityLimiter | None = None

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        if self._threads is None:  # made where the event loop runs
            self._threads = CapacityLimiter(THREADS)
        return await to_thread.run_sync(work, *arguments, limiter=self._threads)

    def page(self, answer: Callable[[Request], Response]) -> Handler:
        """A handler that shows an error meant for people as a page, or as JSON where a script asked."""

        async def handle(request: Request) -> Response:
            try:
                return await self._in_thread(answer, request)
            except (GraceError, ClipError) as error:
                if request.url.path.startswith("/api/"):
                    return JSONResponse({"sentence": str(error)}, 400)
                return self._error(request, 400, "That cannot be shown", str(error))

        return handle

    def change(self, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> Handler:
        """A handler of a change that a page's script sends as JSON."""

        async def handle(request: Request) -> Response:
            try:
                content = json.loads(await request.body())
                if not isinstance(content, dict):
                    raise ValueError("no object")
            except (ValueError, RecursionError):
                return JSONResponse({"sentence": "That is no JSON object."}, 400)
            try:
                return JSONResponse(await self._in_thread(answer, content))
            except ConflictError as error:
                now = await self._in_thread(self._now, content)
                return JSONResponse({"sentence": str(error), **now}, 409)
            except GraceError as error:
                return JSONResponse({"sentence": str(error)}, 400)

        return handle

    async def not_found(self, request: Request, _: Exception) -> Response:
        return self._error(request, 404, "There is no such page", "The address may be of another version.")

    def _error(self, request: Request, status: int, title: str, sentence: str) -> Response:
        return self._html(request, "error", status, title=title, sentence=sentence)

    def _html(self, request: Request, template: str, status: int = 200, **content: Any) -> Response:
        token = request.scope["state"]["form_token"]
        return HTMLResponse(render(template, self.review.dataset, self.links, token, **content), status)

    def gallery(self, request: Request) -> Response:
        asked = Filter.read(request.query_params)
        return self._html(request, "gallery", **views.gallery(self.review, asked, self.links))

    def clip(self, request: Request) -> Response:
        asked = Filter.read(request.query_params)
        content = views.clip(self.review, request.query_params.get("id", ""), asked)
        return self._html(request, "clip", here="gallery", look=None, near=None, **content)

    def runs(self, request: Request) -> Response:
        query = request.query_params
        content = runs_page(self.review, query.get("run", ""), query.get("versus", ""))
        return self._html(request, "runs", **content)

    def audit(self, request: Request) -> Response:
        return self._html(request, "audit", **audit_page(self.review))

    def rate(self, request: Request) -> Response:
        query = request.query_params
        return self._html(request, "rate", **rate_page(self.review, query.get("kind", ""), query.get("rater", "")))

    def agreement(self, request: Request) -> Response:
        return self._html(request, "agreement", here="rate", **agreement_page(self.review))

    def _clip(self, request: Request) -> int:
        return self.review.live.get().number_of(request.query_params.get("id", ""))

    def _jpeg(self, content: bytes | None) -> Response:
        if content is None:
            return Response(status_code=404)
        return Response(content, media_type="image/jpeg", headers=KEPT)

    def strip(self, request: Request) -> Response:
        return self._jpeg(pictures.filmstrip(self.review.live.get(), self._clip(request)))

    def crops(self, request: Request) -> Response:
        return self._jpeg(pictures.crops(self.review.live.get(), self._clip(request)))

    def video(self, request: Request) -> Response:
        path, kind = video.playable_file(self.review.live.get(), self._clip(request), self.review.root)
        return FileResponse(path, media_type=kind, headers=KEPT)

    def audit_plot(self, request: Request) -> Response:
        name = request.query_params.get("name", "")
        path = self.review.folder / "audit" / PLOTS / f"{name}.png"
        if name not in AUDIT_PLOTS or not path.is_file():
            return Response(status_code=404)
        return FileResponse(path, media_type="image/png")

    def look(self, request: Request) -> Response:
        catalogue, clip = self.review.live.get(), self._clip(request)
        runs = self.review.runs()
        predictions = self.review.predictions(catalogue, request.query_params.get("run", ""), runs)
        if predictions is None:
            raise UserError("There is no finished run yet: run `grace train`.")
        fold = int(predictions.fold[clip])
        made = alignment.look(catalogue, clip, predictions.run, fold, self.review.tokens)
        return JSONResponse(made | {"tested": bool(predictions.tested[clip])})

    def near(self, request: Request) -> Response:
        clips = views.neighbours(self.review, request.query_params.get("id", ""), self.links)
        return JSONResponse({"clips": clips})

    def _known(self, content: dict[str, Any]) -> str:
        clip_id = content.get("id")
        if not isinstance(clip_id, str) or clip_id not in self.review.live.get().positions:
            raise UserError("There is no such clip.")
        return clip_id

    def _now(self, content: dict[str, Any]) -> dict[str, Any]:
        said, entries = self.review.corrections.get(content["id"]), self.review.corrections.entries(content["id"])
        by = entries[-1]["by"] if entries else ""
        return {"said": vars(said), "version": said.version, "by": by}

    def correct(self, content: dict[str, Any]) -> dict[str, Any]:
        clip_id, changes = self._known(content), content.get("changes")
        if not isinstance(changes, dict):
            raise UserError("There is nothing to change.")
        self.review.corrections.change(clip_id, str(content.get("version")), changes, str(content.get("by", "")))
        return self._now(content)

    def undo(self, content: dict[str, Any]) -> dict[str, Any]:
        clip_id = self._known(content)
        self.review.corrections.undo(clip_id, str(content.get("version")), str(content.get("by", "")))
        return self._now(content)

    def add_rating(self, content: dict[str, Any]) -> dict[str, Any]:
        clip_id, kind = self._known(content), str(content.get("kind"))
        if kind not in ("caption", "description"):
            raise UserError("A caption or a description is rated.")
        catalogue = self.review.live.get()
        text = catalogue.text(catalogue.positions[clip_id], kind)
        self.review.ratings.add(str(content.get("rater", "")), clip_id, kind, text, str(content.get("value")))
        return {"kept": True}
