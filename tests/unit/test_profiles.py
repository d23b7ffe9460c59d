"""Site profiles: where they are found, what they say, and how their mistakes are told."""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import dedent
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fasthep_validate import bundled
from fasthep_validate.errors import ConfigError
from fasthep_validate.models.execution import ModifierSource
from fasthep_validate.models.profile import SiteProfile
from fasthep_validate.profiles import Overrides, find_sites, load_site, parse_overrides, profile_schema

TRACE = {
    "fasthep.trace": ModifierSource(name="fasthep.trace", impl="trace:Trace", source="class Trace: ...\n")
}
POOL = "execution: {pools: {default: {resources: default, workers: 1}}}\n"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def load(text: str, *, pool: list[str] | None = None, changes: list[str] | None = None) -> SiteProfile:
    Path("p.yaml").write_text(dedent(text), encoding="utf-8")
    return load_site("p.yaml", builtin=TRACE, overrides=parse_overrides(pool or [], changes or []))


def mistakes(text: str, *, pool: list[str] | None = None, changes: list[str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, pool=pool, changes=changes)
    return [str(problem) for problem in caught.value.problems]


def write(path: str, text: str) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text), encoding="utf-8")
    return file


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
    assert str(caught.value) == "--site: no site 'lxplsu'. Did you mean 'lxplus'? Known: local, lxplus."
    with pytest.raises(ConfigError, match=r"no site 'qqq'\. Known: local, lxplus\.$"):
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
    assert mistakes("\nextends: lcal") == [
        "p.yaml:2: no site 'lcal'. Did you mean 'local'? Known: a, b, local."
    ]


# --- modifiers of the profile


def test_the_source_of_a_modifier_travels() -> None:
    write("mods/mine.py", "class Mine: ...\n")
    site = load("""
        execution_modifiers:
          mine: {impl: "mine:Mine", source: mods/mine.py}
          unused: {impl: "lab.gpu:Preload"}
        execution: {pools: {default: {resources: default, workers: 1}}, modifiers: [mine]}
    """)
    assert site.execution.modifier_sources == (
        ModifierSource(name="mine", impl="mine:Mine", source="class Mine: ...\n"),
    )


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


# --- overrides


def test_pools_are_scaled_dropped_and_added() -> None:
    text = """
        execution:
          resources: {default: {cpus: 1}, big: {memory: 8 GB}}
          pools: {default: {resources: default, workers: 1}, other: {resources: big, workers: 1}}
    """
    site = load(text, pool=["default=3", "other=0", "big=2", "gpu=1"])
    assert [(pool.name, pool.resource_name, pool.workers) for pool in site.execution.pools] == [
        ("default", "default", 3), ("big", "big", 2), ("gpu", "gpu", 1),
    ]  # fmt: skip
    assert site.execution.pools[2].dask_resources == {"resource.gpu": 1, "GPU": 1}


def test_a_pool_that_the_configuration_implies_is_scaled() -> None:
    text = "execution: {config: {workers: 4}}\n"
    assert [pool.workers for pool in load(text).execution.pools] == [4]
    assert [pool.workers for pool in load(text, pool=["default=2"]).execution.pools] == [2]
    assert [pool.name for pool in load(text, pool=["gpu=1"]).execution.pools] == ["default", "gpu"]
    assert [pool.name for pool in load(text, pool=["gpu=1", "default=0"]).execution.pools] == ["gpu"]


def test_settings_are_yaml_at_dotted_keys() -> None:
    changes = ["config.nanny=false", "execution.resources={default: {cpus: 3}}", "profiles=[hep]"]
    site = load(POOL, changes=changes)
    assert site.execution.profiles == ("hep",)
    assert (site.execution.pools[0].nanny, site.execution.pools[0].resources.cpus) == (False, 3)


@pytest.mark.parametrize(
    ("pool", "changes", "said"),
    [
        (["gpu"], ["nanny"], [
            "--pool: cannot read 'gpu'. Write --pool NAME=N.", "--set: cannot read 'nanny'. Write --set KEY=VALUE.",
        ]),
        (["gpu=-1"], [], ["--pool: cannot read 'gpu=-1'. Write --pool NAME=N."]),
        (["defult=1"], [], ["--pool defult=1: no pool 'defult'. Did you mean 'default'?"]),
        ([], ["pools.defult.workers=1"], [
            "--set pools.defult.workers=1: no pool 'defult'. Did you mean 'default'?",
        ]),
        ([], ["resources.gpu.cpus=1"], [
            "--set resources.gpu.cpus=1: no entry of execution.resources 'gpu'.",
        ]),
        ([], ["config.nany=false"], [
            "--set config.nany=false: execution.config.nany: unknown key. Did you mean 'nanny'?",
        ]),
        ([], ["pools.default.workers=0"], [
            "--set pools.default.workers=0: execution.pools.default.workers: expected 1 or more, got 0",
        ]),
        ([], ["profiles=["], [
            ("--set profiles=[: broken YAML: expected the node content, but found '<stream end>', while parsing a "
            "flow node"),
        ]),
        (["default=0"], [], [
            ("p.yaml:1: execution.pools: no pool, so there is nothing to start. Write "
            "'pools: {default: {resources: default, workers: 2}}' or give --pool default=2."),
        ]),
    ],
)  # fmt: skip
def test_mistakes_in_overrides(pool: list[str], changes: list[str], said: list[str]) -> None:
    assert [text.rstrip(".") for text in mistakes(POOL, pool=pool, changes=changes)] == [
        text.rstrip(".") for text in said
    ]


def test_overrides_from_python() -> None:
    write("p.yaml", POOL)
    changes = Overrides(pools={"default": 2}, settings=[("config.threads_per_worker", "4")])
    (pool,) = load_site("p.yaml", overrides=changes).execution.pools
    assert (pool.workers, pool.nthreads) == (2, 4)


# --- mistakes


def test_all_mistakes_are_told_at_once_each_with_its_line() -> None:
    said = mistakes("""\
        site: my site
        descripton: typo
        execution:
          strategy: locl
          resources:
            cpu: {cpus: two, mem: 2 GB, memory: 2048}
            big: 7
            gpu: &gpu {gpus: true}
            gpu: *gpu
          pools:
            a: {resources: cpuu, workers: 0}
            b: {resources: big}
            c: {resources: {gpus: -1}, workers: 2.5, config: {queue: long}}
            d: [1]
            e: {resources: big, worker: 3}
            f:
              <<: *gpu
              resources: gpu
              workers: 1
          modifiers: [fasthep.trase, 5, fasthep.trace, fasthep.trace]
        timeouts: {death: soon}
        checks:
          known: [{check: a.b, reason: "", until: tomorrow}]
        network: {worker_ports: "2:1"}
    """)
    assert said == [
        "p.yaml:1: site: 'my site' cannot be a name. Use letters, digits and '_.-', starting with a letter or digit.",
        "p.yaml:2: descripton: unknown key. Did you mean 'description'?",
        "p.yaml:4: execution.strategy: no strategy 'locl'. Did you mean 'local'?",
        "p.yaml:6: execution.resources.cpu.mem: unknown key. Did you mean 'memory'?",
        "p.yaml:6: execution.resources.cpu.cpus: expected a whole number, got 'two'",
        "p.yaml:6: execution.resources.cpu.memory: 2048 bytes is too little. Write the unit, such as '2048 MB'.",
        "p.yaml:7: execution.resources.big: expected a mapping, got 7",
        "p.yaml:8: execution.resources.gpu.gpus: expected a whole number, got True",
        "p.yaml:8: execution.pools.f.gpus: unknown key. Known: config, resources, workers.",
        "p.yaml:9: the key 'gpu' is there twice, first in line 8. Keep one of them.",
        "p.yaml:11: execution.pools.a.workers: expected 1 or more, got 0",
        "p.yaml:11: execution.pools.a.resources: no entry 'cpuu' under execution.resources. Did you mean 'cpu'?",
        "p.yaml:12: execution.pools.b.workers: no number of workers. Write 'workers: 1' or more.",
        "p.yaml:13: execution.pools.c.resources.gpus: expected 0 or more, got -1",
        "p.yaml:13: execution.pools.c.workers: expected a whole number, got 2.5",
        (
            "p.yaml:13: execution.pools.c.config.queue: not supported: it is for a batch system, and strategy 'local' "
            "has none"
        ),
        "p.yaml:14: execution.pools.d: expected a mapping, got [1]",
        "p.yaml:15: execution.pools.e.worker: unknown key. Did you mean 'workers'?",
        "p.yaml:20: execution.modifiers[1]: expected a mapping, got 5",
        "p.yaml:20: execution.modifiers[3]: modifier 'fasthep.trace' is there more than once",
        "p.yaml:20: execution.modifiers[0]: no modifier 'fasthep.trase' is registered. Did you mean 'fasthep.trace'?",
        "p.yaml:21: timeouts.death: expected something like '2 min' or a number of seconds, got 'soon'",
        "p.yaml:23: checks.known[0].reason: expected text, got an empty one",
        "p.yaml:23: checks.known[0].until: expected a date like 2027-01-31, got 'tomorrow'",
        "p.yaml:24: network.worker_ports: expected ports from 1 to 65535, the lower one first, got '2:1'",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\nb: 2\n", "p.yaml:2:2: broken YAML: expected ',' or ']', but got ':', while parsing a flow sequence"),
        ("a: 1\n\tb: 2\n", "p.yaml:2:1: broken YAML: found character '\\t' that cannot start any token, while scanning for the next token"),
        ("a: \x01\n", "p.yaml:1: broken YAML: character U+0001 is not allowed"),
        ("a: *b\n", "p.yaml:1:4: broken YAML: found undefined alias 'b'"),
        ("a: &b [*b]\n", "p.yaml:1:4: broken YAML: found an alias inside of what it stands for"),
        ("a: 1\n---\nb: 1\n", "p.yaml:2:1: broken YAML: but found another document, expected a single document in the stream"),
        ("a: !!python/object:os.system x\n", "p.yaml:1:4: broken YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object:os.system'"),
        ("a: 2027-13-01\n", "p.yaml:1:4: broken YAML: month must be in 1..12"),
    ],
)  # fmt: skip
def test_broken_yaml_is_one_mistake(text: str, said: str) -> None:
    (told,) = mistakes(text)
    assert told.startswith(said)


def test_keys_that_yaml_takes_for_something_else() -> None:
    said = mistakes(
        "execution:\n  pools:\n    1: {resources: default, workers: 1}\n    on: {resources: default, workers: 1}\n"
    )
    assert said == [
        "p.yaml:3: the key 1 is not text. Put it in quotes.",
        "p.yaml:4: the key on is not text. Put it in quotes.",
    ]


@settings(max_examples=100, deadline=None, database=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["execution", "pools", "resources", "config", "default", "workers", "checks", "known",
                         "environment", "modifiers", "name", "type", "network", "scheduler", "x"]), inner, max_size=4),
    max_leaves=15,
))  # fmt: skip
def test_whatever_the_file_says_it_is_told_as_a_mistake(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        load(yaml.safe_dump({"checks": {"nonsense": 1}, "more": value}))
    assert all(problem.where.startswith("p.yaml") for problem in caught.value.problems)  # type: ignore[union-attr]
    with pytest.raises(ConfigError):
        load(yaml.safe_dump({"nonsense": 1, "execution": value}))
