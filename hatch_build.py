"""Build hook: puts the built web app into wheel and sdist.

A build that finds `src/understudy/web/dist/index.html` uses it (that is how an sdist builds
without Node). Otherwise it runs npm; an editable install goes on without the web app, any other
build fails with the one thing to install.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WebAppBuildHook(BuildHookInterface[Any]):
    """Builds `frontend/` unless it is built already or `UNDERSTUDY_SKIP_UI` is set."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects files; `version` is `editable` or `standard`."""
        root = Path(self.root)
        index = root / "src" / "understudy" / "web" / "dist" / "index.html"
        if index.is_file() or os.environ.get("UNDERSTUDY_SKIP_UI"):
            return
        npm = shutil.which("npm")
        if npm is None:
            message = "the web app needs Node >= 20.19 to be built: install it, then build again"
            if version == "editable":
                self.app.display_warning(f"{message} (installed without the web app)")
                return
            raise RuntimeError(message)
        for command in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
            subprocess.run([npm, *command], cwd=root / "frontend", check=True)
