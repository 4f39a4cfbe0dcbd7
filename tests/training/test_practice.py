"""Rounds against updates one by one, and against a plain loop that knows nothing of lanes, keys or compiling."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import handful.training.practice as practice_module
from handful.errors import InputError
from handful.policy_optimization.training import begin, update
from handful.training.hosted import Hosted
from handful.training.practice import Compiled, OnHost, Round, chunks, interaction
from handful.training.system import Simulated
from practising import HIGH, HORIZON, LOW, HostedSlope, Nudge, Slope, Still, hosted
from probes import close, same

KEY = jax.random.key(5)
ENV = Slope()


class Growth:
    """What somebody who watches sees of a round."""

    def __init__(self):
        self.seen = []

    def __call__(self, done: Round) -> None:
        self.seen.append((done.steps, done.trials))


@eqx.filter_jit
def one(learner, now):
    return update(KEY, ENV, learner, now)


@pytest.fixture(scope="module", params=[False, True], ids=["going-on", "whole"])
def simulated(request):
    """Five updates one by one, and the same as a round of chunks of two, two and one."""
    learner = Nudge(length=HORIZON, whole=True) if request.param else Nudge()
    now, batches, logged = eqx.filter_jit(begin)(KEY, ENV, learner), [], []
    for _ in range(5):
        now, told = one(learner, now)
        batches.append(jax.tree.map(np.asarray, now.learner["batch"]))
        logged.append(jax.tree.map(np.asarray, told.logged))
    growth, practice = Growth(), Compiled(ENV, learner)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(practice_module, "LOOK", 2 * learner.envs * learner.length)
        state, done = practice.round(KEY, practice.init(KEY), 5, growth)
    return learner, now, batches, logged, state, done, growth


def counted(batches, whole):
    """Steps, and returns of trials that ended: by hand, environment by environment."""
    steps, returns, going = 0, [], np.zeros(3)
    for batch in batches:
        for env in range(3):
            if whole:
                going[env] = 0.0
            for row in range(len(batch["reward"])):
                steps, going[env] = steps + 1, going[env] + batch["reward"][row, env]
                if batch["terminated"][row, env] or batch["truncated"][row, env]:
                    returns.append(going[env])
                    going[env] = 0.0
                    if whole:
                        break
    return steps, returns


def test_a_round_on_a_simulator_is_its_updates_one_by_one(simulated):
    _, now, _, logged, state, done, _ = simulated
    close(jax.tree.map(jnp.asarray, state), now, rtol=1e-5, atol=1e-6)
    told = done.logged()
    assert set(told) == {"push", "reward"}
    for name, values in told.items():
        np.testing.assert_allclose(values, [each[name] for each in logged], rtol=1e-5, atol=1e-6)


def test_steps_trials_and_returns_are_those_of_a_plain_loop(simulated):
    learner, _, batches, _, _, done, growth = simulated
    steps, returns = counted(batches, learner.whole)
    assert len(returns) > 5
    assert (done.steps, done.trials) == (steps, len(returns))
    assert done.return_ == pytest.approx(np.mean(returns), rel=1e-5)
    assert growth.seen == [
        (counted(batches[:n], learner.whole)[0], len(counted(batches[:n], learner.whole)[1])) for n in (2, 4, 5)
    ]
    assert any(batch["terminated"].any() for batch in batches)
    assert any(batch["truncated"].any() for batch in batches)


def test_a_round_without_an_end_has_no_return():
    assert np.isnan(Round().return_)
    assert Round().logged() == {}


@pytest.mark.parametrize(
    ("updates", "size", "expected"),
    [(7, 500, [7]), (7, 2000, [2, 2, 2, 1]), (4, 2048, [2, 2]), (3, 9000, [1, 1, 1]), (9, 4096, [1] * 9)],
)
def test_chunks_add_up_and_are_of_two_sizes_at_most(updates, size, expected):
    assert chunks(Nudge(envs=1, length=size), updates) == expected


def test_a_simulator_that_gives_no_number_is_refused():
    practice = Compiled(Slope(poison=jnp.asarray(0.7)), Nudge())
    with pytest.raises(InputError, match=r"not finite; mend its step or reward; what was learned before this round"):
        practice.round(KEY, practice.init(KEY), 5, Growth())


def on_host(learner, *, updates=3, **settings):
    """Rounds of one update on the host: each one's batch and who acted in it, and every environment's seeds."""
    system = Hosted(hosted(**settings))
    probes = len(system.env.env.unwrapped.seeds)  # resets that looked whether the environment is sound
    practice = OnHost(system, learner)
    state, batches, actors, done = practice.init(KEY), [], [], []
    for _ in range(updates):
        actors.append(np.asarray(state.learner["gain"]))
        state, round_ = practice.round(KEY, state, 1, Growth())
        batches.append(jax.tree.map(np.asarray, state.learner["batch"]))
        done.append(round_)
    first, *others = [env.env.unwrapped.seeds for env in system.side_by_side(learner.envs)]
    return batches, actors, done, [first[probes:], *others]


def test_learners_are_told_that_a_round_on_the_host_begins_with_resets():
    practice = OnHost(Hosted(hosted()), Nudge(envs=1, length=5))
    state = practice.init(KEY)
    for rounds in (1, 2):
        state, _ = practice.round(KEY, state, 2, Growth())
        assert state.learner["restarts"] == rounds


def replayed(batches, seeds, *, whole, **settings):
    """The same choices carried out by a plain loop: what should have been collected, and the returns.

    An environment for each list of seeds: one for each lane, or one that has the lanes one after the other.
    """
    envs, seeds, expected, returns = [HostedSlope(**settings) for _ in seeds], [list(each) for each in seeds], [], []
    for batch in batches:
        rows = {name: np.zeros_like(values) for name, values in batch.items()}
        now = [{"over": True} for _ in envs]  # every round of these begins with resets
        for lane in range(batch["reward"].shape[1]):
            env, own, at = envs[lane % len(envs)], seeds[lane % len(envs)], now[lane % len(envs)]
            for row in range(batch["reward"].shape[0]):
                if at["over"]:
                    at.update(obs=env.reset(seed=own.pop(0))[0], paid=0.0, time=0)
                choice = batch["action"][row, lane]
                after, paid, terminated, truncated, _ = env.step(np.clip(choice, np.float32(LOW), np.float32(HIGH)))
                at["time"], at["paid"] = at["time"] + 1, at["paid"] + paid
                truncated = not terminated and (truncated or at["time"] == HORIZON)
                happened = {"obs": at["obs"], "action": choice, "reward": paid, "next_obs": after}
                happened |= {"terminated": terminated, "truncated": truncated}
                for name, value in happened.items():
                    rows[name][row, lane] = value
                at["obs"], at["over"] = after, terminated or truncated
                if at["over"]:
                    returns.append(at["paid"])
                    if whole:
                        break
        expected.append(rows)
    assert not any(seeds)  # no reset was for nothing
    return expected, returns


@eqx.filter_jit
def drawn(update, count):
    """The noise of an update's choices, by the keys that they have lane after lane."""
    key = jax.random.fold_in(KEY, update)
    return jax.vmap(lambda n: 0.6 * jax.random.normal(jax.random.fold_in(key, n), (1,)))(jnp.arange(count))


@pytest.mark.parametrize("settings", [{}, {"wall": 0.5, "limit": 4}], ids=["horizon", "limit"])
@pytest.mark.parametrize(
    ("learner", "copied"),
    [
        (Nudge(envs=1, length=17), False),
        (Nudge(envs=3, length=11), True),
        (Nudge(envs=3, length=HORIZON, whole=True), False),
        (Nudge(envs=3, length=HORIZON, whole=True), True),
    ],
    ids=["going-on", "going-on-copied", "whole", "whole-copied"],
)
def test_what_is_collected_on_the_host_is_what_a_plain_loop_gives(learner, copied, settings):
    batches, actors, done, seeds = on_host(learner, copied=copied, **settings)
    assert len(seeds) == (learner.envs if copied else 1)
    assert len({seed for each in seeds for seed in each}) == sum(map(len, seeds))  # no two trials begin the same
    expected, returns = replayed(batches, seeds, whole=learner.whole, **settings)
    for batch, rows in zip(batches, expected, strict=True):
        for name, values in rows.items():
            np.testing.assert_allclose(batch[name], values, rtol=1e-6, atol=1e-6, err_msg=name)
    assert any(batch["terminated"].any() for batch in batches)
    assert any(batch["truncated"].any() for batch in batches)
    assert any((np.abs(batch["action"]) > 0.9).any() for batch in batches)  # the choice, not what was carried out
    assert sum(each.trials for each in done) == len(returns)
    assert sum(each.return_sum for each in done) == pytest.approx(sum(returns), rel=1e-5)
    assert sum(each.steps for each in done) == sum((rows["obs"] != 0).any(-1).sum() for rows in expected)
    for index, (batch, gain) in enumerate(zip(batches, actors, strict=True)):
        noise = np.asarray(drawn(index, learner.envs * learner.length)).reshape(learner.envs, learner.length)
        there = (batch["obs"] != 0).any(-1)
        drawn_ = (batch["action"] - batch["obs"] @ gain.T)[..., 0]
        np.testing.assert_allclose(drawn_[there], noise.T[there], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("copied", [False, True])
def test_rows_after_the_end_of_a_whole_trial_are_empty(copied):
    batches, _, done, seeds = on_host(Nudge(envs=3, length=HORIZON, whole=True), copied=copied, wall=0.1)
    assert list(map(len, seeds)) == ([3, 3, 3] if copied else [9])
    empty = 0
    for batch, each in zip(batches, done, strict=True):
        over = batch["terminated"] | batch["truncated"]
        assert (over.sum(0) == 1).all()
        after = np.cumsum(over, 0) - over > 0
        empty += after.sum()
        assert not batch["obs"][after].any()
        assert not batch["reward"][after].any()
        assert (each.steps, each.trials) == ((~after).sum(), 3)
    assert empty > 5


def test_a_round_of_several_updates_on_the_host_goes_on_from_one_to_the_next():
    """A trial that an update cuts in two is one trial; the first of the round is shown, as it was carried out."""
    learner, env, growth = Nudge(envs=1, length=4), hosted(wall=np.inf), Growth()
    practice = interaction(Hosted(env), learner)
    state, done = practice.round(KEY, practice.init(KEY), 4, growth)
    assert growth.seen == [(4, 0), (8, 1), (12, 2), (16, 2)]
    assert done.logged()["push"].shape == (4,)
    assert int(state.updates) == 4
    shown = done.shown
    assert len(shown["reward"]) == HORIZON
    assert shown["truncated"].tolist() == [False] * (HORIZON - 1) + [True]
    np.testing.assert_array_equal(shown["obs"][1:], shown["next_obs"][:-1])
    assert (shown["action"] >= LOW).all()
    assert (shown["action"] <= HIGH).all()
    np.testing.assert_allclose(shown["next_obs"][:, 1], shown["action"][:, 0], rtol=1e-6)


@pytest.mark.parametrize("learner", [Nudge(envs=1, length=7), Nudge(envs=2, length=7)], ids=["one", "copied"])
def test_a_round_that_is_run_again_is_the_same(learner):
    practice = OnHost(Hosted(hosted(copied=True)), learner)
    first, _ = practice.round(KEY, practice.init(KEY), 2, Growth())
    then, done = practice.round(KEY, first, 2, Growth())
    again, same_ = OnHost(Hosted(hosted(copied=True)), learner).round(KEY, first, 2, Growth())
    same(then, again)
    same(done.shown, same_.shown)


def test_what_is_shown_of_copies_is_the_first_trial_of_the_first():
    system = Hosted(hosted(copied=True))
    frames = [[], []]
    practice = OnHost(system, Nudge(envs=2, length=HORIZON + 2))
    for env, shot in zip(system.side_by_side(2), frames, strict=True):
        env.draw = lambda own=env.env.unwrapped, shot=shot: shot.append(own.time)
    system.filming = True
    state, done = practice.round(KEY, practice.init(KEY), 1, Growth())
    batch = jax.tree.map(np.asarray, state.learner["batch"])
    end = int(np.argmax(batch["terminated"][:, 0] | batch["truncated"][:, 0])) + 1
    assert frames == [list(range(end + 1)), []]
    np.testing.assert_array_equal(done.shown["obs"], batch["obs"][:end, 0])
    np.testing.assert_array_equal(done.shown["reward"], batch["reward"][:end, 0])
    np.testing.assert_allclose(done.shown["action"], np.clip(batch["action"][:end, 0], LOW, HIGH))


def test_an_environment_that_cannot_be_made_again_is_one_unless_trials_are_whole():
    with pytest.raises(InputError, match="cannot be made again, so a learner has one of it, not 3: give `envs` as 1"):
        OnHost(Hosted(hosted()), Nudge())


def test_copies_are_made_once_and_closed_with_the_first():
    system, closed = Hosted(hosted(copied=True)), []
    envs = system.side_by_side(3)
    assert system.side_by_side(2) == envs[:2]
    assert len({id(env.env.unwrapped) for env in envs}) == 3
    for index, env in enumerate(envs):
        env.close = lambda index=index: closed.append(index)
    system.close()
    assert closed == [0, 1, 2]


def test_an_environment_on_the_host_that_gives_no_number_is_refused():
    practice = OnHost(Hosted(hosted(poison=30)), Nudge(envs=1, length=9))
    state, _ = practice.round(KEY, practice.init(KEY), 2, Growth())
    with pytest.raises(InputError, match="observations must be finite"):
        practice.round(KEY, state, 5, Growth())


def test_an_action_that_is_no_number_is_not_carried_out():
    env = hosted()
    practice = OnHost(Hosted(env), Nudge(envs=1, length=5, spoils=True))
    before = env.env.unwrapped.steps
    with pytest.raises(InputError, match="not finite and was not carried out"):
        practice.round(KEY, practice.init(KEY), 3, Growth())
    assert env.env.unwrapped.steps - before == 10


def test_a_system_gets_the_interaction_that_fits_it():
    assert isinstance(interaction(Simulated(ENV), Nudge()), Compiled)
    assert isinstance(interaction(Hosted(hosted()), Nudge(envs=1)), OnHost)
    assert isinstance(Nudge().policy(Nudge().init(KEY, ENV.task)), Still)
