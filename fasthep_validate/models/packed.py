"""A packed environment: its archives, what is in them and what they need of a worker node."""

from __future__ import annotations

from typing import Literal

from fasthep_validate.models.base import Model

ArchiveFormat = Literal["tar.gz", "tar.zst"]


class Relocation(Model):
    """A path of the submit host that files of the pack may hold.

    Attributes:
        old: absolute path at pack time.
        new: path below the extracted tree that takes its place; empty for the tree itself.
    """

    old: str
    new: str


class GlibcFloor(Model):
    """The oldest glibc that can load every ELF file of the pack.

    Attributes:
        version: such as ``2.34``; from the ``.gnu.version_r`` sections of the files.
        needed_by: path below the tree of a file that needs it.
    """

    version: str
    needed_by: str


class Package(Model):
    """A package of an environment.

    Attributes:
        kind: ``conda`` or ``pypi``.
        name: as it calls itself.
        version: such as ``2.1.0``.
        build: of a conda package.
        source: address or channel of a conda package; the program that installed another.
        sha256: hexadecimal digest of a conda package's archive; empty where it is not recorded.
    """

    kind: Literal["conda", "pypi"]
    name: str
    version: str
    build: str = ""
    source: str = ""
    sha256: str = ""


class PackManifest(Model):
    """What the base holds; travels inside its archive as ``.fasthep/manifest.json``.

    Attributes:
        format: version of this layout.
        type: ``packed-venv`` or ``packed-pixi``.
        key: content key of the environment that was packed (hexadecimal).
        python: interpreter below the tree, such as ``venv/bin/python``.
        base_python: interpreter below the tree that starts before anything is relocated; the same
            as ``python`` for a conda prefix.
        site_packages: site-packages directories below the tree.
        python_version: such as ``3.11.7``.
        prefix: ``sys.prefix`` below the tree; empty for the tree itself.
        base_prefix: ``sys.base_prefix`` below the tree; empty for the tree itself.
        relocations: paths to be replaced on the worker, longest first.
        text_files: files below the tree with an old path in plain text.
        binary_files: files below the tree with an old path in a NUL-padded placeholder.
        placeholder: length in bytes of the shortest of these placeholders: the longest path that fits.
        glibc: the floor that is left to the worker; ``None`` if no file needs glibc.
        machine: ``uname -m`` that the files are for.
        carried: libraries taken from outside the environment, as ``name -> original path``.
        node_libraries: shared libraries that are left to the node (glibc, GPU driver).
        left_out: what was not packed, with the reason.
        files: number of regular files and symbolic links in the archive.
        size: sum of their sizes in bytes.
        packages: what is installed, less what travels in the code layer.
        floors: what conda packages ask of a node, such as ``__cuda`` -> ``12.0``.
    """

    format: int = 1
    type: str
    key: str
    python: str
    base_python: str
    site_packages: tuple[str, ...]
    python_version: str
    prefix: str
    base_prefix: str
    relocations: tuple[Relocation, ...] = ()
    text_files: tuple[str, ...] = ()
    binary_files: tuple[str, ...] = ()
    placeholder: int = 0
    glibc: GlibcFloor | None = None
    machine: str
    carried: dict[str, str] = {}
    node_libraries: tuple[str, ...] = ()
    left_out: dict[str, str] = {}
    files: int
    size: int
    packages: tuple[Package, ...] = ()
    floors: dict[str, str] = {}


class Parts(Model):
    """Where the parts of an archive are that the environment's own Python extracts.

    Attributes:
        head_size: bytes at the beginning that are a ``.tar.gz`` by themselves.
        head_sha256: hexadecimal digest of these.
        index_size: bytes at the end that say what is between.
        index_sha256: hexadecimal digest of these.
    """

    head_size: int
    head_sha256: str
    index_size: int
    index_sha256: str


class Archive(Model):
    """A file that holds a tree.

    Attributes:
        path: absolute path on the submit host.
        sha256: hexadecimal digest.
        size: in bytes.
        format: how it is written, such as ``tar.gz``.
        parts: how it is extracted on all cores; ``None`` where ``tar`` extracts the whole.
    """

    path: str
    sha256: str
    size: int
    format: ArchiveFormat = "tar.gz"
    parts: Parts | None = None


class GitState(Model):
    """Where a checkout stands.

    Attributes:
        commit: hexadecimal id; empty before the first commit.
        changed: number of files that differ from it, untracked ones included.
    """

    commit: str
    changed: int


class CodeSource(Model):
    """A place that the code layer was made from.

    Attributes:
        kind: ``editable``: an editable install; ``local``: installed from a local folder;
            ``path``: an entry of ``environment.code``.
        name: of the distribution, or of the file or folder.
        path: on the submit host.
        git: state of the checkout that it is in; ``None`` outside one.
    """

    kind: Literal["editable", "local", "path"]
    name: str
    path: str
    git: GitState | None = None


class CodeLayer(Model):
    """What changes often, beside the base: editable and local installs, and ``environment.code``.

    Attributes:
        archive: the layer; always goes with the job.
        sources: what it was made from.
        files: number of regular files and symbolic links in the archive.
        size: sum of their sizes in bytes.
    """

    archive: Archive
    sources: tuple[CodeSource, ...]
    files: int
    size: int


class Activation(Model):
    """What is done on the worker before Python starts.

    Attributes:
        scripts: those of packages (``activate.d/NAME``) and of Pixi's manifest, in their order.
        variables: names of environment variables that are set; scripts may set others.
    """

    scripts: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()


class PackedEnv(Model):
    """An environment that workers can use; stored as ``pack.json``.

    Attributes:
        manifest: what the base holds.
        origin: where the environment came from, in words.
        base: the environment; ``None`` when it is used in place (``shared-prefix``).
        code: the small layer above it; ``None`` when there is nothing in it.
        activation: what is done before Python starts.
        submit_python: interpreter of the same environment on the submit host.
        submit_prefix: its prefix on the submit host.
        cached: whether the base was found in the cache.
        seconds: time that packing took, or the look-up.
        notes: what a user should know, such as a corrupted cache entry that was replaced.
    """

    manifest: PackManifest
    origin: str = ""
    base: Archive | None
    code: CodeLayer | None = None
    activation: Activation = Activation()
    submit_python: str
    submit_prefix: str
    cached: bool
    seconds: float
    notes: tuple[str, ...] = ()
