"""What the pages of one app share beyond the services of the API."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from agent_assets.reviews.store import Reviews
from agent_assets.serving.webapp.overview import LastLook
from agent_assets.serving.webapp.sources import OpenInstallation


@dataclass(frozen=True)
class WebApp:
    """The web app of one API. `close` it before the services."""

    installation: OpenInstallation
    look: LastLook
    reviews: Reviews

    def close(self) -> None:
        """Let go of what was opened."""
        self.look.close()
        self.installation.close()
        self.reviews.close()


def web_app(request: Request) -> WebApp:
    """The web app that a request is for."""
    return cast(WebApp, request.app.state.web_app)


WebAppDep = Annotated[WebApp, Depends(web_app)]
