"""A soak can be replayed: its steps are a function of the seed, and each kind of them comes."""

import itertools

import hosts
import plan
from harm import Harm

COUNT = 12000


def steps(seed, count=COUNT):
    return list(itertools.islice(plan.steps(seed, 12, 5), count))


def test_the_same_seed_has_the_same_steps():
    assert steps(1) == steps(1)
    assert steps(1, 100) != steps(2, 100)


def test_every_kind_of_step_comes_and_can_be_done():
    kinds = {step.kind for step in steps(3)}
    assert kinds == {name for name, _ in plan.OPERATIONS} | {"storm", "harm", "look"}
    for kind in kinds - {"harm", "look"}:
        assert callable(getattr(hosts.Host, "do_" + kind)), kind
    harms = [step.words[0] for step in steps(3) if step.kind == "harm"]
    assert set(harms) == {name for name, _ in plan.HARMS}
    for kind in set(harms):
        assert callable(getattr(Harm, "_" + kind)), kind


def test_no_disturbance_is_left_out_by_chance():
    harms = [step.words[0] for step in steps(4) if step.kind == "harm"]
    once = sum(weight for _, weight in plan.HARMS)
    assert sorted(harms[:once]) == sorted(name for name, weight in plan.HARMS for _ in range(weight))


def test_internal_ports_say_by_what_they_were_asked_for():
    ports = [first + one for dialect, first in plan.INNER.items() for one in range(plan.INNERS[dialect])]
    assert len(ports) == len(set(ports)) and plan.INNER.keys() == plan.INNERS.keys()
