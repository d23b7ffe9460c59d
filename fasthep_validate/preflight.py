"""What would go wrong on the submit host, told before anything is packed or written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate import bundled
from fasthep_validate.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasthep_validate.models.profile import SiteProfile


def check_paths(site: SiteProfile, *, outdir: Path, cache: Path) -> None:
    """Look at the paths that the batch system would be told.

    Args:
        site: the site's profile.
        outdir: where results and logs go.
        cache: where packed environments are kept; they are transferred from there.

    Raises:
        ConfigError: with every path that the site does not take.
    """
    problems = [*_forbidden(site, outdir, cache), *_misplaced(site, outdir)]
    if problems:
        raise ConfigError(*problems)


def _forbidden(site: SiteProfile, outdir: Path, cache: Path) -> Iterator[Problem]:
    transferred = {"the cache of packed environments (XDG_CACHE_HOME)": cache}
    paths = {
        "--outdir": outdir,
        **(transferred if site.execution.staging == "transfer" else {}),
        "the keys of the run (TMPDIR)": Path(tempfile.gettempdir()),
        "the installed package": bundled.PACKAGE,
    }
    for where, path in paths.items():
        for prefix, why in site.paths.forbidden.items():
            if below(path, prefix):
                yield Problem(where, f"{path} is below {prefix}", f"At {site.site}: {why}.")


def _misplaced(site: SiteProfile, outdir: Path) -> Iterator[Problem]:
    allowed = site.paths.logs
    if allowed and not any(below(outdir, prefix) for prefix in allowed):
        what = f"{outdir.absolute()} is not where {site.site} wants the logs of jobs"
        yield Problem("--outdir", what, f"Use a folder below {' or '.join(allowed)}.")


def below(path: Path, prefix: str) -> bool:
    """Whether a path leads to a folder or below, as it is written or once links are followed."""
    folder = Path(os.path.expandvars(prefix))
    ways = {path.absolute(), path.resolve()}
    return any(way.is_relative_to(each) for way in ways for each in (folder, folder.resolve()))
