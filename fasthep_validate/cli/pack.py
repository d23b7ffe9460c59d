"""``fasthep-validate pack``: the worker environment, packed by itself; packs inspected and compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fasthep_validate.cli.app import packs
from fasthep_validate.cli.options import AsJson, Settings, Site
from fasthep_validate.cli.showing import print_table
from fasthep_validate.console import progress
from fasthep_validate.models.packed import ArchiveFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fasthep_validate.models.execution import EnvironmentSpec
    from fasthep_validate.models.packed import PackedEnv

Pack = Annotated[Path, typer.Argument(metavar="PACK", help="An archive, its description, or a run folder.")]


@packs.callback()
def pack(
    context: typer.Context,
    site: Site = "local",
    settings: Settings = None,
    prefix: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Pack this environment (virtualenv, conda, Pixi).")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Pack an installed environment of this Pixi manifest.")
    ] = None,
    lock: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Pack what this pixi.lock says; nothing need be installed."),
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Pack what is in an archive of pixi-pack or conda-pack."),
    ] = None,
    environment: Annotated[str, typer.Option(metavar="NAME", help="Name of the Pixi environment.")] = "",
    platform: Annotated[str, typer.Option(metavar="NAME", help="With --lock: such as linux-aarch64.")] = "",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the pack there, with FILE.json to describe it.")
    ] = None,
    format: Annotated[
        ArchiveFormat | None, typer.Option(metavar="NAME", help="tar.zst or tar.gz; without it what is best.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Pack the worker environment of a site, or another environment.

    Nothing is started; a run that comes after finds it packed.
    """
    if context.invoked_subcommand:
        return
    from fasthep_validate.campaign import cache_folder, load_profile
    from fasthep_validate.pack import files
    from fasthep_validate.pack import pack as pack_environment
    from fasthep_validate.profiles import parse_overrides

    places = {"source": prefix, "manifest": manifest, "lock": lock, "archive": archive}
    named = {key: str(path.absolute()) for key, path in places.items() if path}
    named |= {key: word for key, word in {"environment": environment, "platform": platform}.items() if word}
    profile = load_profile(site, parse_overrides([], settings or []))
    spec = _spec(profile.execution.environment, named).model_copy(update={"archive_format": format})
    with progress(colour=True) as show:
        packed = pack_environment(spec, cache=cache_folder(), say=show.step)
        if output:
            show.step(f"writing {output}")
            packed = files.write(packed, output)
    _show(packed, as_json=as_json)


def _spec(of_site: EnvironmentSpec, named: dict[str, str]) -> EnvironmentSpec:
    """The environment that the options name; without any that of the site."""
    if not named:
        return of_site
    from pydantic import ValidationError

    from fasthep_validate.errors import ConfigError, Problem
    from fasthep_validate.models.environment import Environment
    from fasthep_validate.resolve import environment_spec

    kind = "packed-venv" if named.keys() == {"source"} else "packed-pixi"
    mode: dict[str, Any] = {"mode": "prefix"} if kind == "packed-pixi" and "manifest" in named else {}
    try:
        written = Environment.model_validate({"type": kind, **mode, **named})
    except ValidationError as error:
        problems = (
            Problem(f"--{'prefix' if item['loc'][-1] == 'source' else item['loc'][-1]}", item["msg"])
            for item in error.errors()
        )
        raise ConfigError(*problems) from None
    return environment_spec(written, of_site.required_imports)


@packs.command()
def inspect(pack: Pack, as_json: AsJson = False) -> None:
    """Show what is in a pack: packages, code, what it asks of a node."""
    from fasthep_validate.pack import files

    packed = files.read(pack)
    _show(packed, as_json=as_json)
    if not as_json:
        rows = [
            (item.kind, item.name, item.version, item.build, item.sha256[:12], item.source)
            for item in packed.manifest.packages
        ]
        typer.echo()
        print_table(rows, ("kind", "package", "version", "build", "sha256", "from"))


@packs.command()
def diff(first: Pack, second: Pack, as_json: AsJson = False) -> None:
    """Show by what two packs differ; exit code 1 if they do."""
    import json

    from fasthep_validate.pack import files

    found = files.compare(files.read(first), files.read(second))
    if as_json:
        typer.echo(json.dumps([row._asdict() for row in found], indent=2))
    elif found:
        print_table(
            [(row.what, row.first or "-", row.second or "-") for row in found], ("", str(first), str(second))
        )
    else:
        typer.echo("no difference")
    raise typer.Exit(1 if found else 0)


@packs.command()
def verify(pack: Pack) -> None:
    """Compare digests, extract the pack as a worker does, start its Python and import Dask."""
    from fasthep_validate.pack import OF_WORKER, files

    packed = files.read(pack)
    with progress(colour=True) as show:
        files.verify(packed, OF_WORKER, show.step)
    typer.echo(f"{pack}: whole, and runs here")


def _show(packed: PackedEnv, *, as_json: bool) -> None:
    if as_json:
        typer.echo(packed.to_json(), nl=False)
    else:
        print_table(list(_rows(packed)), ())


def _rows(packed: PackedEnv) -> Iterator[tuple[str, ...]]:
    manifest, base, code = packed.manifest, packed.base, packed.code
    glibc = manifest.glibc
    yield "environment", packed.origin or packed.submit_prefix
    yield "archive", base.path if base else "none: used in place"
    if base:
        yield (
            "size",
            f"{base.size / 1e6:.0f} MB, extracted {manifest.size / 1e6:.0f} MB in {manifest.files} files",
        )
        yield "sha256", base.sha256
    yield "key", manifest.key
    yield "python", f"{manifest.python_version} for {manifest.machine}"
    yield "packages", str(len(manifest.packages))
    yield "needs glibc", f"{glibc.version} (for {glibc.needed_by})" if glibc else "no"
    yield from (("needs " + name, version) for name, version in manifest.floors.items() if name != "__glibc")
    yield "code", f"{code.archive.size / 1e3:.0f} kB, {code.files} files" if code else "none"
    for source in code.sources if code else ():
        git = f", commit {source.git.commit[:12]}, {source.git.changed} files changed" if source.git else ""
        yield "", f"{source.kind} {source.name} from {source.path}{git}"
    activation = (*packed.activation.scripts, *packed.activation.variables)
    yield "activation", ", ".join(activation) or "none"
    yield "from cache", "yes" if packed.cached else "no"
