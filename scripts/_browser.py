"""The browser that tests and pictures of pages need: a Chromium with Korean letters, installed where that is allowed.

`python3 scripts/_browser.py` makes sure that it is there.
"""

import os
import shutil
import subprocess
import sys

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGES = ["chromium", "fonts-noto-cjk"]
MISSING = "there is no Chromium here. Install it: apt-get install chromium fonts-noto-cjk"


def find() -> str | None:
    """Where it is, if it is anywhere."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def prepare() -> str | None:
    """Where it is; it is installed first where this is Debian, and we are root."""
    if find() is None and shutil.which("apt-get") and os.geteuid() == 0:
        print("watchword: installing Chromium with apt-get (once; it may take a minute)", flush=True)
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *PACKAGES]):
            subprocess.run(["apt-get", *command], env=quiet, stdout=subprocess.DEVNULL, check=False)
    return find()


if __name__ == "__main__":
    sys.exit(0 if prepare() else MISSING)
