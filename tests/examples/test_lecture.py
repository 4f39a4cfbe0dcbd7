"""The lecture's pictures: each script runs, draws, and says what it claims to show."""

import dataclasses
import re
import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from handful.agents import pets

LECTURE = Path(__file__).parents[2] / "examples" / "lecture"


@pytest.fixture
def printed(monkeypatch, tmp_path, capsys):
    """Runs a script and gives the numbers in each line that it prints."""

    def run(name, *words):
        out = tmp_path / "figure.png"
        monkeypatch.setattr(sys, "argv", [name, "--out", str(out), *words])
        monkeypatch.syspath_prepend(str(LECTURE))
        runpy.run_path(str(LECTURE / f"{name}.py"), run_name="__main__")
        plt.close("all")
        assert out.read_bytes()[:4] == b"\x89PNG"
        lines = capsys.readouterr().out.replace(str(out), "").splitlines()
        return [[float(number) for number in re.findall(r"-?\d+\.\d+", line)] for line in lines]

    return run


@pytest.fixture
def brief(monkeypatch):
    """Ensembles of smaller nets and fewer steps of a fit, for the scripts that fit many times."""
    whole = pets.pets_learner

    def learner(*words, **settings):
        made = whole(*words, **settings)
        steps = dataclasses.replace(made.minibatches, min_steps=1000, max_steps=1000)
        return dataclasses.replace(made, hidden=(32, 32), minibatches=steps)

    monkeypatch.setattr(pets, "pets_learner", learner)


def test_a_model_of_the_base_policy_misleads_and_aggregation_repairs(printed, brief):
    (returns, *_) = printed("a_base_policy_trap")
    base, misled, *repaired = returns
    assert misled < 0 < base
    assert min(repaired) > base


@pytest.mark.compiles(250)  # a script for readers draws eagerly
def test_draws_agree_near_the_points_only_after_data(printed):
    prior, posterior, *_ = printed("b_prior_and_posterior")
    assert min(prior) > 0.6
    assert posterior[0] < 0.1 < posterior[1]


def test_members_part_off_the_data_and_know_the_noise(printed):
    epistemic, aleatoric, *_ = printed("c_ensemble_disagreement")
    assert epistemic[1] > 3 * epistemic[0]
    assert aleatoric[1] > 2 * aleatoric[0]


@pytest.mark.compiles(200)  # scripts compute their figures without `jit`
def test_one_net_is_surer_off_the_data_than_five(printed):
    one, five, *_ = printed("d_entropy_is_not_uncertainty")
    assert one[1] > five[1] > 1
    assert five[3] - five[2] > one[3] - one[2]


def test_the_reward_of_the_mean_earns_less_than_it_expects(printed):
    of_the_mean, of_the_reward, *_ = printed("e_expected_reward")
    assert of_the_mean[2] < of_the_reward[2]
    assert abs(of_the_reward[1] - of_the_reward[2]) < 0.05  # 4000 draws of std 0.5: five standard errors are 0.04


@pytest.mark.slow
@pytest.mark.arithmetic
def test_five_nets_say_more_of_an_unseen_trial_than_one_and_a_gaussian_process_errs_least(printed, brief):
    """The likelihood of a mixture is at least the mean of its members' (Jensen), and here far above that of any one.

    The Gaussian process errs least on average because three trials are few and the cart-pole is smooth.
    """
    lines = [line for line in printed("f_what_models_predict", "--tasks", "CartPoleSwingUp", "--seeds", "1") if line]
    models = dict(zip(("D", "P", "DE", "PE", "GP"), lines, strict=True))
    for one, five in (("D", "DE"), ("P", "PE")):
        for trials in (2, 3):  # the likelihoods after one and after three trials
            assert models[five][trials] < models[one][trials]
    assert all(models["GP"][1] < models[name][1] for name in ("D", "P", "DE", "PE"))
