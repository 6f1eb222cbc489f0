"""The web app of one API: its pages, and what they share."""

from fastapi import FastAPI

from agent_assets.reviews.store import Reviews
from agent_assets.serving.context import Services
from agent_assets.serving.webapp import chat, home, memories, reports, review, sign_in
from agent_assets.serving.webapp.overview import LastLook
from agent_assets.serving.webapp.sources import OpenInstallation
from agent_assets.serving.webapp.state import WebApp


def add_web_app(app: FastAPI, services: Services, *, database: str) -> WebApp:
    """Add the pages below `/app`. Nothing is opened before the first page that needs it.

    Args:
        database: where reviews are kept.
    """
    settings = services.settings
    installation = OpenInstallation(settings)
    web = WebApp(
        installation,
        LastLook(installation, services.jobs),
        Reviews(settings.mongodb_uri or "", settings.mongodb_database, database),
    )
    app.state.web_app = web
    for module in (sign_in, home, reports, review, memories):
        app.include_router(module.router)
    app.include_router(chat.pages)
    app.include_router(chat.actions)
    return web
