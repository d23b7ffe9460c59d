"""``fasthep-validate pack``: the worker environment, packed by itself."""

from __future__ import annotations

import typer

from fasthep_validate.cli.app import app
from fasthep_validate.cli.options import AsJson, Settings, Site
from fasthep_validate.cli.showing import print_table
from fasthep_validate.console import progress


@app.command()
def pack(site: Site = "local", settings: Settings = None, as_json: AsJson = False) -> None:
    """Pack the worker environment of a site.

    Nothing is started; a run that comes after finds it packed.
    """
    from fasthep_validate.campaign import cache_folder, load_profile
    from fasthep_validate.pack import pack as pack_environment
    from fasthep_validate.profiles import parse_overrides

    profile = load_profile(site, parse_overrides([], settings or []))
    with progress(colour=True) as show:
        packed = pack_environment(profile.execution.environment, cache=cache_folder(), say=show.step)
    if as_json:
        typer.echo(packed.to_json(), nl=False)
        return
    glibc, base, code = packed.manifest.glibc, packed.base, packed.code
    rows = [
        ("archive", base.path if base else "none: used in place"),
        ("size", f"{base.size / 1e6:.0f} MB, {packed.manifest.files} files" if base else "-"),
        ("sha256", base.sha256 if base else "-"),
        ("code", f"{code.archive.size / 1e3:.0f} kB, {code.files} files" if code else "none"),
        ("python", packed.manifest.python_version),
        ("needs glibc", f"{glibc.version} (for {glibc.needed_by})" if glibc else "no"),
        ("from cache", "yes" if packed.cached else "no"),
    ]
    print_table(rows, ())
