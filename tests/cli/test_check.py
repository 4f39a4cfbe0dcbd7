"""`handful check`: what it prints, what it writes, and its exit code."""

import json

OWN = """
import gymnasium, numpy as np

class Slide(gymnasium.Env):
    action_space = gymnasium.spaces.Box(-1.0, 2.0, (1,), np.float64)
    observation_space = gymnasium.spaces.Box(-9.0, 9.0, (1,), np.float64)
    dt, max_episode_steps, fails = 0.1, 9, None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.state = 0, self.np_random.normal(size=1)
        return self.state, {}

    def step(self, action):
        self.time += 1
        if self.time == self.fails:
            raise OSError("cable out")
        self.state = self.state + 0.1 * action
        return self.state, float(self.state[0]), False, False, {}

class Failing(Slide):
    fails = 7

def reward(obs, action, next_obs): return next_obs[0] + 1.0
def terminated(obs): return obs[0] > 99.0
"""


def test_what_is_off_is_named_and_written(handful, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    task, file = f"{tmp_path / 'own.py'}:Slide", tmp_path / "found.json"
    said = handful("check", task, "--trials", 2, "--json", file)
    assert (said.code, said.err) == (1, "")
    first, *_, last = said.out.splitlines()
    assert first == f"{task}: 2 random trials, the first of them again, and 5 of 10 steps: 77 steps at most."
    assert last == "1 of 6 checks are off; 77 steps were run."
    told = json.loads(file.read_text())
    assert (told["task"], told["trials"], told["seed"], told["steps"]) == (task, 2, 0, 77)
    verdicts = {finding["check"]: finding["verdict"] for finding in told["findings"]}
    assert [check for check, verdict in verdicts.items() if verdict == "off"] == ["reward"]
    assert "it is the given and -1" in " ".join(finding["found"] for finding in told["findings"])
    for check, verdict in verdicts.items():
        assert any(line.startswith(check) and verdict in line for line in said.out.splitlines())


def test_a_sound_task_ends_with_zero(handful):
    said = handful("check", "point-mass", "--trials", 1, "--steps", 12)
    assert (said.code, said.err) == (0, "")
    assert said.out.endswith("0 of 6 checks are off; 114 steps were run.\n")
    assert "[m]" in said.out


def test_bad_input_is_refused(refused, handful, tmp_path):
    assert "--trials must be at least 1, got 0" in refused("check", "pendulum", "--trials", 0)
    assert "--steps must be at least 1, got -3" in refused("check", "pendulum", "--steps", -3)
    assert "did you mean pendulum or pendulum-v1?" in refused("check", "pendullum")
    (tmp_path / "own.py").write_text(OWN)
    said = handful("check", f"{tmp_path / 'own.py'}:Failing")
    assert said.code == 2
    assert "the environment raised OSError (cable out) at step 7 of a trial" in said.err
    assert said.err.count("\n") == 1
