"""Rounds against updates one by one, and against a plain loop that knows nothing of vectorising, keys or compiling."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import handful.training.rounds as rounds_module
from handful.errors import InputError
from handful.interaction import init, train_step
from handful.training.host import Hosted
from handful.training.loop import Loop, Observer
from handful.training.rounds import OnHost, chunks, rounds_for
from handful.training.run import Row, RunFolder
from handful.training.session import Session
from handful.training.system import Simulated
from nudge import HIGH, HORIZON, LOW, HostedSlope, Nudge, Slope, hosted
from probes import close, same

SEED, ROUNDS, UPDATES = 5, 2, 2
KEY = jax.random.key(SEED)
UPDATES_KEY = jax.random.fold_in(KEY, 1)  # which no other number is folded into: 0 is of the first state
ENV = Slope()


class Growth(Observer):
    """What somebody who watches sees of the rounds."""

    def __init__(self):
        self.seen = []

    def stepped(self, stage, tallies, step_ms):
        self.seen.append((tallies[SEED].steps, tallies[SEED].episodes))


def ran(loop, rounds, observer=None):
    """States and records after each of rounds 0 to `rounds` of a loop with one seed."""
    state, done = loop.init(SEED), []
    for index in range(rounds + 1):
        rows = {SEED: [stage.row for _, stage in done]}
        state, stage = loop.stage(index, {SEED: state}, rows, observer or Observer())[SEED]
        done.append((state, stage))
    return done


def on_host(agent, updates=1, rounds=3, env=None, observer=None):
    return ran(Loop(Hosted(hosted() if env is None else env), agent, [SEED], stages=rounds, updates=updates), rounds)


@pytest.fixture(scope="module", params=[False, True], ids=["going-on", "episodic"])
def simulated(request):
    """Five updates one by one, and the same as a round of calls of two, two and one."""
    agent = Nudge(num_steps=HORIZON, whole=True) if request.param else Nudge()
    one = eqx.filter_jit(lambda agent, state: train_step(UPDATES_KEY, ENV, agent, state))
    state, batches, metrics = eqx.filter_jit(init)(jax.random.fold_in(KEY, 0), ENV, agent), [], []
    for _ in range(5):
        state, done = one(agent, state)
        batches.append(jax.tree.map(np.asarray, state.agent["batch"]))
        metrics.append(jax.tree.map(np.asarray, done.metrics))
    growth = Growth()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds_module, "STEPS_PER_CALL", 2 * agent.num_envs * agent.num_steps)
        _, (ours, stage) = ran(Loop(Simulated(ENV), agent, [SEED], stages=1, updates=5), 1, growth)
    return agent, state, batches, metrics, ours, stage, growth


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
    _, state, _, metrics, ours, stage, _ = simulated
    close(jax.tree.map(jnp.asarray, ours), state, rtol=1e-5, atol=1e-6)
    for name in ("push", "reward"):
        expected = [each[name] for each in metrics]
        np.testing.assert_allclose(stage.arrays[f"update_{name}"], expected, rtol=1e-5, atol=1e-6)
        assert stage.row.metrics[name] == pytest.approx(np.mean(expected), rel=1e-4, abs=1e-6)


def test_steps_trials_and_returns_are_those_of_a_plain_loop(simulated):
    agent, _, batches, _, _, stage, growth = simulated
    steps, returns = counted(batches, agent.whole)
    assert len(returns) > 5
    assert stage.row.env_steps == steps
    assert stage.row.return_ == pytest.approx(np.mean(returns), rel=1e-5)
    assert growth.seen == [
        (counted(batches[:n], agent.whole)[0], len(counted(batches[:n], agent.whole)[1])) for n in (2, 4, 5)
    ]
    assert any(batch["terminated"].any() for batch in batches)
    assert any(batch["truncated"].any() for batch in batches)


@pytest.mark.parametrize(
    ("updates", "size", "expected"),
    [(7, 500, [7]), (7, 2000, [2, 2, 2, 1]), (4, 2048, [2, 2]), (3, 9000, [1, 1, 1]), (9, 4096, [1] * 9)],
)
def test_calls_add_up_and_are_of_two_sizes_at_most(updates, size, expected):
    assert chunks(Nudge(num_envs=1, num_steps=size), ENV.task, updates) == expected


@pytest.mark.parametrize(
    ("steps", "on_host", "expected"),
    [(1200, False, (50, 2)), (100, False, (8, 1)), (5, False, (1, 1)), (1200, True, (50, 2)), (100, True, (4, 2))],
)
def test_steps_make_at_most_fifty_rounds(steps, on_host, expected):
    """12 steps an update; on the host a round of trials of 6 steps has at least two updates of 4 steps each."""
    assert rounds_for(Nudge(), ENV.task, steps, on_host=on_host) == expected


def test_a_simulator_that_gives_what_is_not_finite_is_refused():
    loop = Loop(Simulated(Slope(poison=jnp.asarray(0.7))), Nudge(), [SEED], stages=1, updates=5)
    rows = {SEED: [Row(0, 0, 0.0, {}, 0.0, 0.0)]}
    with pytest.raises(InputError, match=r"not finite; correct its step or reward; what was learned before this round"):
        loop.stage(1, {SEED: loop.init(SEED)}, rows, Observer())


def collected(agent, *, updates=3, **settings):
    """Rounds of one update on the host: each one's batch and who acted in it, and every environment's seeds."""
    system = Hosted(hosted(**settings))
    probes = len(system.env.env.unwrapped.seeds)  # resets that tried whether the environment is sound
    loop = OnHost(system, agent)
    state, batches, actors, done = loop.init(KEY), [], [], []
    for _ in range(updates):
        actors.append(np.asarray(state.agent["gain"]))
        state, metrics, _ = loop.update(KEY, loop.begin(KEY, state))
        batches.append(jax.tree.map(np.asarray, state.agent["batch"]))
        done.append(metrics)
    first, *others = [env.env.unwrapped.seeds for env in system.copies(agent.num_envs)]
    return batches, actors, done, [first[probes:], *others]


def test_agents_learn_of_the_resets_that_a_round_on_the_host_begins_with():
    done = on_host(Nudge(num_envs=1, num_steps=5), updates=2, rounds=2)
    assert [int(state.agent["restarts"]) for state, _ in done] == [0, 1, 2]


def replayed(batches, seeds, *, whole, **settings):
    """The same raw actions taken by a plain loop: what should have been collected, and the returns.

    An environment for each list of seeds: one for each of the agent's, or one for all of them, one after the other.
    """
    envs, seeds, expected, returns = [HostedSlope(**settings) for _ in seeds], [list(each) for each in seeds], [], []
    for batch in batches:
        rows = {name: np.zeros_like(values) for name, values in batch.items()}
        now = [{"over": True} for _ in envs]  # every round of these begins with resets
        for place in range(batch["reward"].shape[1]):
            env, own, at = envs[place % len(envs)], seeds[place % len(envs)], now[place % len(envs)]
            for row in range(batch["reward"].shape[0]):
                if at["over"]:
                    at.update(obs=env.reset(seed=own.pop(0))[0], paid=0.0, time=0)
                action = batch["action"][row, place]
                after, paid, terminated, truncated, _ = env.step(np.clip(action, np.float32(LOW), np.float32(HIGH)))
                at["time"], at["paid"] = at["time"] + 1, at["paid"] + paid
                truncated = not terminated and (truncated or at["time"] == HORIZON)
                happened = {"obs": at["obs"], "action": action, "reward": paid, "next_obs": after}
                happened |= {"terminated": terminated, "truncated": truncated, "valid": True}
                for name, value in happened.items():
                    rows[name][row, place] = value
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
    """The noise of an update's actions, by the keys that they have, environment after environment."""
    key = jax.random.fold_in(KEY, update)
    return jax.vmap(lambda n: 0.6 * jax.random.normal(jax.random.fold_in(key, n), (1,)))(jnp.arange(count))


@pytest.mark.parametrize("settings", [{}, {"wall": 0.5, "limit": 4}], ids=["horizon", "limit"])
@pytest.mark.parametrize(
    ("agent", "copied"),
    [
        (Nudge(num_envs=1, num_steps=17), False),
        (Nudge(num_envs=3, num_steps=11), True),
        (Nudge(num_envs=3, num_steps=HORIZON, whole=True), False),
        (Nudge(num_envs=3, num_steps=HORIZON, whole=True), True),
    ],
    ids=["going-on", "going-on-copied", "episodic", "episodic-copied"],
)
def test_what_is_collected_on_the_host_is_what_a_plain_loop_gives(agent, copied, settings):
    batches, actors, done, seeds = collected(agent, copied=copied, **settings)
    assert len(seeds) == (agent.num_envs if copied else 1)
    assert len({seed for each in seeds for seed in each}) == sum(map(len, seeds))  # no two trials begin the same
    expected, returns = replayed(batches, seeds, whole=agent.whole, **settings)
    for batch, rows in zip(batches, expected, strict=True):
        for name, values in rows.items():
            np.testing.assert_allclose(batch[name], values, rtol=1e-6, atol=1e-6, err_msg=name)
    assert any(batch["terminated"].any() for batch in batches)
    assert any(batch["truncated"].any() for batch in batches)
    assert any((np.abs(batch["action"]) > 0.9).any() for batch in batches)  # raw, not what the environment took
    assert sum(int(each.episodes.sum()) for each in done) == len(returns)
    assert sum(float(each.return_sum.sum()) for each in done) == pytest.approx(sum(returns), rel=1e-5)
    assert sum(int(each.steps.sum()) for each in done) == sum(rows["valid"].sum() for rows in expected)
    for index, (batch, gain) in enumerate(zip(batches, actors, strict=True)):
        noise = np.asarray(drawn(index, agent.num_envs * agent.num_steps)).reshape(agent.num_envs, agent.num_steps)
        there, drawn_ = batch["valid"], (batch["action"] - batch["obs"] @ gain.T)[..., 0]
        np.testing.assert_allclose(drawn_[there], noise.T[there], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("copied", [False, True])
def test_rows_after_the_end_of_an_episode_are_empty(copied):
    agent = Nudge(num_envs=3, num_steps=HORIZON, whole=True)
    batches, _, done, seeds = collected(agent, copied=copied, wall=0.1)
    assert list(map(len, seeds)) == ([3, 3, 3] if copied else [9])
    empty = 0
    for batch, each in zip(batches, done, strict=True):
        over = batch["terminated"] | batch["truncated"]
        assert (over.sum(0) == 1).all()
        after = np.cumsum(over, 0) - over > 0
        empty += after.sum()
        np.testing.assert_array_equal(batch["valid"], ~after)
        assert not batch["obs"][after].any()
        assert not batch["reward"][after].any()
        assert (int(each.steps[0]), int(each.episodes[0])) == ((~after).sum(), 3)
    assert empty > 5


def test_a_round_of_several_updates_on_the_host_continues_from_one_to_the_next():
    """A trial that an update cuts in two is one trial; the first of the round is shown, with environment actions."""
    growth, system = Growth(), Hosted(hosted(wall=np.inf))
    loop = Loop(system, Nudge(num_envs=1, num_steps=4), [SEED], stages=1, updates=4)
    _, (state, stage) = ran(loop, 1, growth)
    assert growth.seen == [(4, 0), (8, 1), (12, 2), (16, 2)]
    assert stage.arrays["update_push"].shape == (4,)
    assert int(state.updates) == 4
    shown = stage.arrays
    assert len(shown["reward"]) == HORIZON
    assert shown["truncated"].tolist() == [False] * (HORIZON - 1) + [True]
    np.testing.assert_array_equal(shown["obs"][1:], shown["next_obs"][:-1])
    assert (shown["action"] >= LOW).all()
    assert (shown["action"] <= HIGH).all()
    np.testing.assert_allclose(shown["next_obs"][:, 1], shown["action"][:, 0], rtol=1e-6)


@pytest.mark.parametrize("num_envs", [1, 2], ids=["one", "copied"])
def test_a_round_that_is_repeated_is_the_same(num_envs):
    def loop():
        return Loop(Hosted(hosted(copied=True)), Nudge(num_envs=num_envs, num_steps=7), [SEED], stages=2, updates=2)

    _, (first, before), (then, stage) = ran(loop(), 2)
    rows = [before.row, before.row]
    repeated, same_ = loop().stage(2, {SEED: first}, {SEED: rows}, Observer())[SEED]
    same(then, repeated)
    for name in ("obs", "action", "reward", "update_push"):
        np.testing.assert_array_equal(stage.arrays[name], same_.arrays[name])


def test_what_is_shown_of_copies_is_the_first_trial_of_the_first():
    system, frames = Hosted(hosted(copied=True)), [[], []]
    loop = Loop(system, Nudge(num_envs=2, num_steps=HORIZON + 2), [SEED], stages=1, updates=1)
    for env, shot in zip(system.copies(2), frames, strict=True):
        env.draw = lambda own=env.env.unwrapped, shot=shot: shot.append(own.time)
    system.filming = True
    for shot in frames:
        shot.clear()
    state, first = loop.stage(0, {SEED: loop.init(SEED)}, {SEED: []}, Observer())[SEED]
    for shot in frames:
        shot.clear()
    state, stage = loop.stage(1, {SEED: state}, {SEED: [first.row]}, Observer())[SEED]
    batch = jax.tree.map(np.asarray, state.agent["batch"])
    end = int(np.argmax(batch["terminated"][:, 0] | batch["truncated"][:, 0])) + 1
    assert frames == [list(range(end + 1)), []]
    np.testing.assert_array_equal(stage.arrays["obs"], batch["obs"][:end, 0])
    np.testing.assert_array_equal(stage.arrays["reward"], batch["reward"][:end, 0])
    np.testing.assert_allclose(stage.arrays["action"], np.clip(batch["action"][:end, 0], LOW, HIGH))


def test_an_environment_that_cannot_be_duplicated_is_one_unless_the_agent_is_episodic():
    with pytest.raises(InputError, match="cannot be duplicated, so the agent can have one of it, not 3: set num_envs"):
        OnHost(Hosted(hosted()), Nudge())


def test_copies_are_made_once_and_closed_with_the_first():
    system, closed = Hosted(hosted(copied=True)), []
    envs = system.copies(3)
    assert system.copies(2) == envs[:2]
    assert len({id(env.env.unwrapped) for env in envs}) == 3
    for index, env in enumerate(envs):
        env.close = lambda index=index: closed.append(index)
    system.close()
    assert closed == [0, 1, 2]


def test_an_action_that_is_not_finite_is_not_sent_to_the_environment():
    env = hosted()
    before = env.env.unwrapped.steps
    with pytest.raises(InputError, match="not finite and was not sent to the environment"):
        on_host(Nudge(num_envs=1, num_steps=5, spoils=True), updates=3, rounds=1, env=env)
    assert env.env.unwrapped.steps - before - 10 in range(1, HORIZON + 1)  # two updates, and the untrained policy's


def session(path, system, agent, rounds=ROUNDS):
    """A run in a folder, new or to continue."""
    config = {"task": "slope", "agent": "nudge", "seed": SEED, "trials": rounds, "updates": UPDATES}
    folder = RunFolder(path) if (path / "config.json").exists() else RunFolder.create(path, config)
    return Session(folder, system, agent, config)


@pytest.fixture(scope="module")
def in_folder(tmp_path_factory):
    """A finished run on a simulator, and the state after each round."""
    run, states = session(tmp_path_factory.mktemp("simulated") / "run", Simulated(ENV), Nudge()), []
    keep = run.keep
    run.keep = lambda state, stage: (states.append(state), keep(state, stage))
    run.train(Observer())
    return run, states


@pytest.fixture(scope="module", params=[1, 2], ids=["one", "copied"])
def hosted_run(request, tmp_path_factory):
    """A finished run in one environment on the host, or in two side by side."""
    agent = Nudge(num_envs=request.param, num_steps=10 // request.param)
    run = session(tmp_path_factory.mktemp("hosted") / "run", Hosted(hosted(copied=True)), agent)
    run.train(Observer())
    return run


def test_steps_are_those_that_were_learned_from(in_folder, hosted_run):
    run, _ = in_folder
    assert [row.env_steps for row in run.rows] == [0, 24, 48]  # 2 updates of 3 environments for 4 steps
    assert [row.env_steps for row in hosted_run.rows] == [0, 20, 40]
    assert [list(row.metrics) for row in (*run.rows, *hosted_run.rows)] == [[], *[["push", "reward"]] * 2] * 2
    assert (run.loop.schedule.steps, hosted_run.loop.schedule.steps) == (24, 20)


def test_a_simulator_shows_a_trial_of_the_learned_policy(in_folder):
    """Without noise, and at the right moment: round 0 shows the untrained policy."""
    run, states = in_folder
    for index, state in enumerate(states):
        arrays = run.folder.trial(index)
        expected = np.clip(arrays["obs"] @ np.asarray(state.agent["gain"]).T, LOW, HIGH)
        np.testing.assert_allclose(arrays["action"], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(arrays["obs"][1:], arrays["next_obs"][:-1])
        ends = arrays["terminated"] | arrays["truncated"]
        assert ends.tolist() == [False] * (len(ends) - 1) + [True]
        assert arrays["truncated"][-1] == (len(ends) == HORIZON and not arrays["terminated"][-1])
    gains = [np.asarray(state.agent["gain"]) for state in states]
    assert not np.allclose(gains[0], gains[1], atol=1e-3)
    assert not np.allclose(gains[1], gains[2], atol=1e-3)


def test_the_host_shows_the_first_trial_of_the_round(hosted_run):
    """Noise and all; it takes no step beside those, but for the untrained policy's."""
    gain = np.asarray(hosted_run.state.agent["gain"])
    assert hosted_run.state.agent["updates"] == ROUNDS * UPDATES
    for index in (1, 2):
        arrays = hosted_run.folder.trial(index)
        assert (arrays["terminated"] | arrays["truncated"]).sum() == 1
        assert (arrays["terminated"] | arrays["truncated"])[-1]
        assert np.abs(arrays["action"] - np.clip(arrays["obs"] @ gain.T, LOW, HIGH)).max() > 0.1
    untrained = len(hosted_run.folder.trial(0)["reward"])
    first, *others = [env.env.unwrapped.steps for env in hosted_run.system.copies(hosted_run.agent.num_envs)]
    assert first + sum(others) == untrained + hosted_run.rows[-1].env_steps
    assert others == [20] * len(others)


def test_the_return_of_the_untrained_policy_is_that_of_its_trial(hosted_run):
    assert hosted_run.rows[0].return_ == pytest.approx(hosted_run.folder.trial(0)["reward"].sum(), rel=1e-5)


def test_the_return_is_the_mean_of_the_trials_that_ended():
    _, (state, stage) = on_host(Nudge(num_envs=1, num_steps=20), rounds=1)
    batch, returns, going = state.agent["batch"], [], 0.0
    for row in range(20):
        going += float(batch["reward"][row, 0])
        if batch["terminated"][row, 0] or batch["truncated"][row, 0]:
            returns.append(going)
            going = 0.0
    assert len(returns) > 2
    assert going != 0  # the trial that the end of the round cut off counts for nothing
    assert stage.row.return_ == pytest.approx(np.mean(returns), rel=1e-5)


def test_a_round_in_which_no_trial_ended_has_the_return_of_the_one_shown():
    _, (_, stage) = ran(Loop(Simulated(ENV), Nudge(num_steps=1), [SEED], stages=1, updates=1), 1)
    assert stage.row.env_steps == 3
    assert len(stage.arrays["reward"]) > 1
    assert stage.row.return_ == pytest.approx(stage.arrays["reward"].sum(), rel=1e-5)


def test_metrics_of_updates_are_kept_one_by_one(in_folder, hosted_run):
    run, _ = in_folder
    for each in (run, hosted_run):
        assert not [name for name in each.folder.trial(0) if name.startswith("update_")]
        arrays = each.folder.trial(1)
        assert arrays["update_push"].shape == arrays["update_reward"].shape == (UPDATES,)
        assert each.folder.trial(2)["update_push"][0] != arrays["update_push"][0]


def test_a_run_that_stopped_continues_to_the_last_bit(in_folder, hosted_run, tmp_path):
    run, _ = in_folder
    for whole, system, agent in (
        (run, Simulated(ENV), Nudge()),
        (hosted_run, Hosted(hosted(copied=True)), hosted_run.agent),
    ):
        path = tmp_path / type(system).__name__
        session(path, system, agent, rounds=1).train(Observer())
        continued = session(path, system, agent)
        assert continued.done == 2
        continued.train(Observer())
        same(continued.state, whole.state)
        assert [(row.env_steps, row.return_) for row in continued.rows] == [
            (row.env_steps, row.return_) for row in whole.rows
        ]
        for name, values in whole.folder.trial(2).items():
            if name != "step_ms":
                np.testing.assert_array_equal(continued.folder.trial(2)[name], values)


def test_what_is_not_finite_loses_no_round_before(tmp_path):
    run = session(tmp_path / "run", Hosted(hosted(poison=40)), Nudge(num_envs=1, num_steps=10), rounds=5)
    with pytest.raises(InputError, match="must be finite"):
        run.train(Observer())
    done = session(tmp_path / "run", Hosted(hosted()), Nudge(num_envs=1, num_steps=10), rounds=5)
    assert 1 <= done.done - 1 < 5
    assert done.rows == run.rows
    same(done.state, run.state)


def test_films_are_of_every_tenth_round_and_of_the_last():
    loop = Loop(Simulated(ENV), Nudge(), [SEED], stages=23, updates=1)
    assert [index for index in range(24) if loop.films(index)] == [0, 10, 20, 23]


SEEDS = (3, 0, 11)


class Witness(Observer):
    """Remembers how far the rounds were, each time it heard of them."""

    def __init__(self):
        self.seen, self.rounds = [], []

    def stepped(self, stage, tallies, step_ms):
        self.seen.append((stage, {seed: tally.steps for seed, tally in tallies.items()}))

    def finished(self, stages):
        self.rounds.append(sorted(stages))


def together(env=ENV):
    return Loop(Simulated(env), Nudge(), SEEDS, stages=2, updates=3)


@pytest.fixture(scope="module")
def alone():
    """States and records of each seed by itself, round by round."""
    runs = {}
    for seed in SEEDS:
        loop, done = Loop(Simulated(ENV), Nudge(), [seed], stages=2, updates=3), []
        state = loop.init(seed)
        for index in range(3):
            rows = {seed: [stage.row for _, stage in done]}
            state, stage = loop.stage(index, {seed: state}, rows, Observer())[seed]
            done.append((state, stage))
        runs[seed] = done
    return runs


@pytest.fixture(scope="module")
def side_by_side():
    loop, witness = together(), Witness()
    states, runs = {seed: loop.init(seed) for seed in SEEDS}, {seed: [] for seed in SEEDS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds_module, "STEPS_PER_CALL", 24)  # calls of two updates and one
        for index in range(3):
            rows = {seed: [stage.row for _, stage in runs[seed]] for seed in SEEDS}
            for seed, (state, stage) in loop.stage(index, states, rows, witness).items():
                states[seed] = state
                runs[seed].append((state, stage))
    return loop, runs, witness


def test_each_seed_does_what_it_does_alone(alone, side_by_side):
    _, runs, _ = side_by_side
    for seed in SEEDS:
        for (one, own), (other, theirs) in zip(runs[seed], alone[seed], strict=True):
            close(jax.tree.map(jnp.asarray, one), jax.tree.map(jnp.asarray, other), rtol=1e-4, atol=1e-5)
            assert (own.row.trial, own.row.env_steps) == (theirs.row.trial, theirs.row.env_steps)
            assert own.row.return_ == pytest.approx(theirs.row.return_, rel=1e-4, abs=1e-5)
            assert set(own.arrays) == set(theirs.arrays)
            for name in set(own.arrays) - {"step_ms"}:
                np.testing.assert_allclose(own.arrays[name], theirs.arrays[name], rtol=1e-3, atol=1e-4, err_msg=name)
    gains = [np.asarray(runs[seed][-1][0].agent["gain"]) for seed in SEEDS]
    assert not np.allclose(gains[0], gains[1], atol=1e-2)
    assert not np.allclose(gains[1], gains[2], atol=1e-2)


def test_who_watches_sees_all_seeds_grow(side_by_side):
    _, _, witness = side_by_side
    assert witness.seen == [(index, dict.fromkeys(SEEDS, steps)) for index in (1, 2) for steps in (24, 36)]
    assert witness.rounds == [sorted(SEEDS)] * 3


def test_a_seed_that_has_the_round_already_keeps_it(side_by_side):
    """As after a crash between two seeds: it fills its place, and the others do as they would."""
    loop, runs, _ = side_by_side
    states = {seed: runs[seed][1][0] for seed in SEEDS} | {0: runs[0][2][0]}
    rows = {seed: [stage.row for _, stage in runs[seed][: 3 if seed == 0 else 2]] for seed in SEEDS}
    done = loop.stage(2, states, rows, Witness())
    assert set(done) == {3, 11}
    for seed, (state, stage) in done.items():
        close(state, runs[seed][2][0], rtol=1e-4, atol=1e-5)  # the calls were others
        assert stage.row.env_steps == runs[seed][2][1].row.env_steps


def test_a_seed_that_meets_what_is_not_finite_is_named_and_none_has_the_round(alone):
    loop, witness = together(Slope(poison=jnp.asarray(0.95))), Witness()
    states = {seed: loop.init(seed) for seed in SEEDS}
    rows = {seed: [alone[seed][0][1].row] for seed in SEEDS}
    with pytest.raises(InputError, match=r"seed (3|0|11): the environment gave .* not finite"):
        loop.stage(1, states, rows, witness)
    assert witness.rounds == []


def test_nothing_compiles_again_from_round_to_round(side_by_side, monkeypatch):
    loop, runs, _ = side_by_side
    calls, real = [], rounds_module.train_steps
    monkeypatch.setattr(rounds_module, "train_steps", lambda *args: calls.append(1) or real(*args))
    monkeypatch.setattr(rounds_module, "STEPS_PER_CALL", 24)
    states = {seed: runs[seed][2][0] for seed in SEEDS}
    rows = {seed: [stage.row for _, stage in runs[seed]] for seed in SEEDS}
    done = loop.stage(3, states, rows, Witness())
    assert calls == []
    assert all(stage.row.env_steps == 108 for _, stage in done.values())
