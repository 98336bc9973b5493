"""Where the web pages lie: the built web app in `dist/` and the static test client `try.html`.

Owns nothing but their places. The app is built from `frontend/` (`npm run build`) and is absent
in a checkout where that never ran; serving the files is the server's business.
"""

from pathlib import Path


def dist_folder() -> Path:
    """The folder of the built web app; `index.html` in it is missing until the app is built."""
    return Path(__file__).parent / "dist"


def try_page() -> Path:
    """The static test client, which needs no build."""
    return Path(__file__).parent / "try.html"
