"""Mistakes in a profile: all of them, each with its place."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fasthep_validate.errors import ConfigError
from tests.profile_files import load, mistakes

pytestmark = pytest.mark.usefixtures("empty_folder")


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
