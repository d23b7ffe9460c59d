"""Site profiles: where they are found, and what they say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from fasthep_validate import bundled
from fasthep_validate.campaign import load_profile
from fasthep_validate.errors import ConfigError
from fasthep_validate.models.execution import ModifierSource
from fasthep_validate.models.profile import SiteProfile
from fasthep_validate.profiles import find_sites, load_site, parse_overrides, profile_schema
from tests.profile_files import POOL, TRACE, load, mistakes, write

pytestmark = pytest.mark.usefixtures("empty_folder")

# --- the bundled profile


def test_local_is_two_workers_with_a_gigabyte() -> None:
    site = load_site("local", builtin=TRACE)
    assert (site.site, site.execution.strategy, site.execution.staging) == ("local", "local", "transfer")
    (pool,) = site.execution.pools
    assert (pool.name, pool.workers, pool.nthreads) == ("default", 2, 1)
    assert pool.resources.model_dump() == {
        "cpus": 1, "memory": 1_000_000_000, "disk": 1_000_000_000, "gpus": 0,
    }  # fmt: skip
    assert (site.execution.environment.type, site.execution.environment.prefix) == ("packed-venv", "current")
    assert [modifier.name for modifier in site.execution.modifiers] == ["fasthep.trace"]
    assert site.execution.modifier_sources == (TRACE["fasthep.trace"],)
    assert (site.execution.scheduler.host, site.execution.scheduler.port) == ("127.0.0.1", 0)


def test_what_is_stored_can_be_read_again() -> None:
    site = load_site("local", builtin=TRACE)
    assert SiteProfile.model_validate_json(site.to_json()) == site


@pytest.mark.parametrize("path", sorted(bundled.profiles_dir().glob("*.yaml")), ids=lambda path: path.stem)
def test_bundled_profiles_follow_the_schema(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(profile_schema())
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), profile_schema())


def test_every_key_of_the_schema_is_described() -> None:
    schema: Any = profile_schema()
    models = [schema, *schema["$defs"].values()]
    bare = [
        f"{model['title']}.{key}"
        for model in models
        for key, value in model.get("properties", {}).items()
        if not {"description", "$ref"} & set(value)
    ]
    assert bare == []


# --- finding


def test_sites_are_found_in_order(empty_folder: Path) -> None:
    write("site_profiles/local.yaml", "description: mine\n" + POOL)
    write("config/fasthep-validate/site_profiles/cluster.yml", "description: ours\n" + POOL)
    write("config/fasthep-validate/site_profiles/local.yaml", POOL)
    found = {site.name: site for site in find_sites()}
    assert (found["local"].origin, found["local"].description) == ("current folder", "mine")
    assert (found["cluster"].origin, found["cluster"].description) == ("user", "ours")
    assert load_site("local").description == "mine"


def test_profiles_of_other_packages_are_found(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("lib/ourlab_profiles/__init__.py", "raise RuntimeError('is not imported')")
    write("lib/ourlab_profiles/ourlab.yaml", POOL)
    write(
        "lib/ourlab-1.dist-info/entry_points.txt",
        "[fasthep_validate.site_profiles]\nourlab = ourlab_profiles\ngone = no_such_package_of_ours.profiles\n",
    )
    write("lib/ourlab-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: ourlab\nVersion: 1\n")
    monkeypatch.syspath_prepend(str(empty_folder / "lib"))
    assert "package ourlab_profiles" in {site.origin for site in find_sites()}
    assert load_site("ourlab").site == "ourlab"


def test_a_broken_profile_is_listed_with_what_is_wrong() -> None:
    write("site_profiles/broken.yaml", "a: [")
    write("site_profiles/list.yaml", "[]")
    descriptions = {site.name: site.description for site in find_sites()}
    assert descriptions["broken"].startswith("cannot be read: site_profiles/broken.yaml:1:")
    assert descriptions["list"] == ""


def test_an_unknown_site_is_answered_with_the_nearest() -> None:
    write("site_profiles/lxplus.yaml", POOL)
    with pytest.raises(ConfigError) as caught:
        load_site("lxplsu")
    known = ", ".join(sorted(site.name for site in find_sites()))
    assert "local, lpc, lxplus" in known
    assert str(caught.value) == f"--site: no site 'lxplsu'. Did you mean 'lxplus'? Known: {known}."
    with pytest.raises(ConfigError, match=rf"no site 'qqq'\. Known: {known}\.$"):
        load_site("qqq")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, r"p.yaml: cannot be read: No such file or directory"),
        (Path.mkdir, r"p.yaml: cannot be read: Is a directory"),
        (
            lambda path: path.write_bytes(b"site: caf\xe9\n"),
            r"p.yaml: not UTF-8: byte 0xe9 at offset 9\. Save the file as UTF-8\.",
        ),
        (Path.touch, r"p.yaml: the file is empty\. Start from a copy of the profile 'local'\."),
        (lambda path: path.write_text("# only this\n"), r"p.yaml: the file is empty\. Start from .*"),
        (lambda path: path.write_text("- 1\n"), r"p.yaml:1: expected a mapping, got \[1\]"),
    ],
)
def test_files_that_are_no_profile(make: object, said: str) -> None:
    make(Path("p.yaml"))  # type: ignore[operator]
    with pytest.raises(ConfigError, match=rf"^{said}$"):
        load_site("./p.yaml", overrides=parse_overrides(["default=1"], []))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission() -> None:
    write("p.yaml", POOL).chmod(0)
    with pytest.raises(ConfigError, match=r"^p.yaml: cannot be read: Permission denied$"):
        load_site("p.yaml")


# --- extends


def test_extends_merges_over_another_profile() -> None:
    write(
        "site_profiles/base.yaml",
        """
        description: base
        execution:
          resources: {default: {cpus: 2, memory: 1 GB}}
          pools: {default: {resources: default, workers: 2}, big: {resources: default, workers: 9}}
        timeouts: {probe: 7}
    """,
    )
    site = load("""
        extends: base
        execution:
          resources: {default: {memory: 3 GB}}
          pools: {big: null}
    """)
    (pool,) = site.execution.pools
    assert (pool.workers, pool.resources.cpus, pool.resources.memory) == (2, 2, 3_000_000_000)
    assert (site.site, site.description, site.execution.timeouts.probe) == ("p", "base", 7)


def test_mistakes_of_a_merged_profile_name_the_right_file() -> None:
    write("base.yaml", "timeouts: {prob: 7}\n" + POOL)
    assert mistakes("extends: ./base.yaml\nchecks: {min_nofil: 3}\n") == [
        "base.yaml:1: timeouts.prob: unknown key. Did you mean 'probe'?",
        "p.yaml:2: checks.min_nofil: unknown key. Did you mean 'min_nofile'?",
    ]


def test_a_profile_can_extend_another_of_its_own_name() -> None:
    write("site_profiles/local.yaml", "extends: local\ntimeouts: {probe: 7}\n")
    site = load_site("local", builtin=TRACE)
    assert (site.site, site.execution.timeouts.probe, site.execution.pools[0].workers) == ("local", 7, 2)


def test_profiles_that_extend_each_other() -> None:
    write("site_profiles/a.yaml", "extends: b\n")
    write("site_profiles/b.yaml", "x: 1\nextends: a\n")
    with pytest.raises(ConfigError) as caught:
        load_site("a")
    assert str(caught.value) == (
        "site_profiles/b.yaml:2: 'a' extends itself. Remove 'extends' from one of the files."
    )
    assert mistakes("extends: ./p.yaml") == [
        "p.yaml:1: './p.yaml' extends itself. Remove 'extends' from one of the files."
    ]
    (problem,) = mistakes("\nextends: lcal")
    assert problem.startswith("p.yaml:2: no site 'lcal'. Did you mean 'local'? Known: a, b, ")


# --- modifiers of the profile


def test_the_source_of_a_modifier_travels() -> None:
    write("mods/mine.py", "class Mine: ...\n")
    site = load("""
        execution_modifiers:
          mine: {impl: "mine:Mine", source: mods/mine.py}
          of_a_stage: {impl: "lab.gpu:Preload"}
        execution: {pools: {default: {resources: default, workers: 1}}, modifiers: [mine]}
    """)
    sources = {source.name: source for source in site.execution.modifier_sources}
    assert sources["mine"] == ModifierSource(name="mine", impl="mine:Mine", source="class Mine: ...\n")
    assert sources["of_a_stage"] == ModifierSource(name="of_a_stage", impl="lab.gpu:Preload")


def test_sources_that_cannot_travel() -> None:
    write("bad.py", "class Mine(:\n")
    said = mistakes("""
        execution_modifiers:
          gone: {impl: "mine:Mine", source: gone.py}
          bad: {impl: "mine:Mine", source: bad.py}
          deep: {impl: "lab.mine:Mine", source: bad.py}
        execution: {pools: {default: {resources: default, workers: 1}}}
    """)
    here = Path.cwd()
    assert said == [
        f"{here}/bad.py:1: not valid Python: invalid syntax",
        f"{here}/bad.py:1: not valid Python: invalid syntax",
        f"p.yaml:3: {here}/gone.py: cannot be read: No such file or directory",
        (
            "p.yaml:5: execution_modifiers.deep.impl: module 'lab.mine' is in a package, and only a single file can "
            "travel. Give the module a plain name."
        ),
    ]


def test_wrong_parameters_of_a_modifier_are_told_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(
        "execution:\n  resources: {default: {}}\n  pools: {default: {resources: default, workers: 1}}\n"
        "  modifiers:\n    - fasthep.trace\n    - {name: gpu.preload, params: {fieds: [pt]}}\n"
    )
    with pytest.raises(ConfigError) as error:
        load_profile(str(path))
    assert (
        f"{path}:6: execution.modifiers[1]: modifier 'gpu.preload': got an unexpected keyword argument"
        in str(error.value)
    )
