"""Every agent of the catalogue: what it says of itself is so, and its configuration makes it again."""

import dataclasses
import json

import pytest

from handful.agents.catalogue import AGENTS
from handful.cli.configuration import built, configured
from handful.cli.train_options import options_for
from handful.envs.loading import load
from handful.envs.registry import info_of


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_is_of_its_kind_and_made_again_by_a_configuration_that_spells_out_its_options(name):
    entry = AGENTS[name]
    config = json.loads(json.dumps(configured(options_for(["--agent", name])(task="pendulum", agent=name))))
    resolved = entry.options().resolved(load("pendulum"), info_of("pendulum"))
    assert config["options"] == json.loads(json.dumps(dataclasses.asdict(resolved)))
    assert entry.options(**dataclasses.asdict(resolved)).resolved(load("pendulum"), info_of("pendulum")) == resolved
    assert (config["agent"], config["given"]) == (name, {})
    _, agent = built(config)
    assert entry.kind == ("trials" if agent.trial_by_trial else "rounds")
    assert (config["updates"] is None) == (entry.kind == "trials")
