"""Logs from files: what is read, what is left out and reported, what is refused."""

import zipfile

import numpy as np
import pytest

from handful.data.loaders import dataset_of, load_log
from handful.errors import InputError

RNG = np.random.default_rng(6)
OBS, ACTION = RNG.normal(1.0, 2.0, (9, 3)), RNG.uniform(-1, 2, (9, 2))
TRIAL = np.array([4, 4, 4, 4, 7, 7, 7, 7, 7])
REWARD = RNG.normal(size=9)
HEADER = "time,obs angle [rad],obs1,obs_speed,action_left,action_right,trial,reward"


def near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # float32


def table(tmp_path, header=HEADER, rows=None):
    if rows is None:
        time = 0.1 * np.arange(9)[:, None]
        rows = np.concatenate([time, OBS, ACTION, TRIAL[:, None], REWARD[:, None]], 1)
    path = tmp_path / "log.csv"
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def archive(tmp_path, **arrays):
    path = tmp_path / "log.npz"
    np.savez(path, **arrays)
    return path


def test_csv(tmp_path):
    log = load_log(table(tmp_path))
    assert list(log.trials) == [4, 7]
    assert log.names == ("angle [rad]", "obs1", "speed")
    assert log.notes == ("Unused columns: time.",)
    assert (log.obs_size, log.action_size, log.task) == (3, 2, None)
    for number, rows in ((4, slice(0, 4)), (7, slice(4, 9))):
        trial = log.trials[number]
        near(trial.obs, OBS[rows][:-1])
        near(trial.next_obs, OBS[rows][1:])
        near(trial.action, ACTION[rows][:-1])  # nothing is known of what the last action did
        near(trial.reward, REWARD[rows][:-1])
        np.testing.assert_array_equal(trial.truncated, np.arange(len(trial.reward)) == len(trial.reward) - 1)
        assert not trial.terminated.any()


def test_csv_without_trials_is_one_trial(tmp_path):
    rows = np.concatenate([OBS, ACTION], 1)
    log = load_log(table(tmp_path, "obs0,obs1,obs2,action0,action1", rows))
    assert list(log.trials) == [0]
    near(log.trials[0].next_obs, OBS[1:])
    assert log.names == ("obs0", "obs1", "obs2")


def test_npz_of_transitions(tmp_path):
    path = archive(tmp_path, obs=OBS, action=ACTION, next_obs=OBS + 1, trial=TRIAL, reward=REWARD)
    log = load_log(path)
    near(log.trials[7].next_obs, OBS[4:] + 1)
    near(log.trials[7].reward, REWARD[4:])
    assert len(log.trials[4].reward) == 4
    assert log.notes == ()


def test_npz_with_terminations(tmp_path):
    ends = np.arange(9) == 3
    trials = load_log(archive(tmp_path, obs=OBS, action=ACTION, next_obs=OBS + 1, trial=TRIAL, terminated=ends)).trials
    np.testing.assert_array_equal(trials[4].terminated, ends[:4])
    np.testing.assert_array_equal(trials[4].truncated, np.zeros(4, bool))
    np.testing.assert_array_equal(trials[7].terminated, np.zeros(5, bool))


def test_npz_of_trials_takes_the_following_row(tmp_path):
    log = load_log(archive(tmp_path, obs=OBS, action=ACTION, trial=TRIAL))
    near(log.trials[4].next_obs, OBS[1:4])
    near(log.trials[7].action, ACTION[4:8])


def test_npz_of_one_trajectory_with_one_more_row(tmp_path):
    log = load_log(archive(tmp_path, obs=OBS, action=ACTION[:-1]))
    near(log.trials[0].obs, OBS[:-1])
    near(log.trials[0].next_obs, OBS[1:])
    near(log.trials[0].action, ACTION[:-1])


def test_npz_with_one_number_a_row(tmp_path):
    log = load_log(archive(tmp_path, obs=OBS[:, 0], action=ACTION[:-1, 0]))
    assert (log.obs_size, log.action_size) == (1, 1)
    near(log.trials[0].next_obs[:, 0], OBS[1:, 0])


def test_run_folder(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for number, rows in ((0, slice(0, 4)), (12, slice(4, 8))):
        ends = np.array([False, False, False, number == 12])
        np.savez(
            tmp_path / "checkpoints" / f"trial-{number:03d}.npz", obs=OBS[rows], action=ACTION[rows], terminated=ends,
            next_obs=OBS[rows] + 0.5, reward=REWARD[rows], truncated=~ends, step_ms=np.zeros(2), header=np.zeros(3),
        )  # fmt: skip
    (tmp_path / "config.json").write_text('{"task": "point-mass"}')
    log = load_log(tmp_path)
    assert list(log.trials) == [0, 12]
    assert log.task == "point-mass"
    near(log.trials[12].next_obs, OBS[4:8] + 0.5)
    np.testing.assert_array_equal(log.trials[12].terminated, [False, False, False, True])
    np.testing.assert_array_equal(log.trials[12].truncated, np.zeros(4, bool))
    (tmp_path / "config.json").write_text("[")
    assert load_log(tmp_path).task is None


def test_rows_that_are_not_finite_are_left_out_and_told(tmp_path):
    obs, action = OBS.copy(), ACTION.copy()
    obs[1, 2], action[6, 0], obs[8, 0] = np.nan, np.inf, 1e39  # the last has no float32
    log = load_log(archive(tmp_path, obs=obs, action=action, trial=TRIAL))
    near(log.trials[4].obs, OBS[[2]])  # row 1 ends one transition and begins another
    near(log.trials[7].obs, OBS[[4, 5]])
    assert log.notes == ("4 of 7 transitions are not finite and were left out.",)


def test_empty_cells_are_left_out_and_told(tmp_path):
    rows = np.concatenate([OBS, ACTION], 1).astype(object)
    rows[3, 1] = ""
    log = load_log(table(tmp_path, "obs0,obs1,obs2,action0,action1", rows))
    near(log.trials[0].obs, OBS[[0, 1, 4, 5, 6, 7]])
    assert log.notes == ("2 of 8 transitions are not finite and were left out.",)


def test_dataset(tmp_path):
    trials = load_log(table(tmp_path)).trials
    data = dataset_of(trials)
    assert data.capacity == 64
    assert int(data.count) == 7
    np.testing.assert_array_equal(data.trial[:8], [4, 4, 4, 7, 7, 7, 7, -1])
    near(data.transitions.obs[:7], np.concatenate([OBS[:3], OBS[4:8]]))
    np.testing.assert_array_equal(data.transitions.next_obs[7:], 0)
    assert dataset_of(trials, 9).capacity == 9
    for wrong in (({}, None), (trials, 6)):
        with pytest.raises(InputError, match=r"holds 1 to \d+ transitions, got \d"):
            dataset_of(*wrong)


@pytest.mark.parametrize(("arrays", "said"), [
    ({"obs": OBS, "reward": REWARD}, "must contain obs and action, and it contains obs, reward"),
    ({"obs": OBS, "action": ACTION[:5]}, "9 of obs, 5 of action"),
    ({"obs": OBS, "action": ACTION, "next_obs": OBS[:8]}, "8 of next_obs"),
    ({"obs": OBS, "action": ACTION, "trial": TRIAL[:4]}, "4 of trial"),
    ({"obs": OBS, "action": ACTION, "reward": REWARD[:6]}, "9 of trial, 6 of reward, 9 of terminated"),
    ({"obs": OBS, "action": ACTION, "terminated": REWARD[:7] > 0}, "9 of reward, 7 of terminated"),
    ({"obs": OBS, "action": ACTION, "reward": REWARD[:, None]}, r"reward must .* per row, got shape \(9, 1\)"),
    ({"obs": OBS, "action": ACTION, "terminated": np.zeros((9, 1), bool)}, r"terminated must have one number per row"),
    ({"obs": OBS, "action": ACTION, "reward": REWARD.astype(str)}, r"reward must have one number per row, .* of <U"),
    ({"obs": OBS, "action": ACTION, "terminated": np.array(["no"] * 9)}, "terminated must have one number per row"),
    ({"obs": OBS, "action": ACTION, "reward": 1.5}, r"reward must have one number per row, got shape \(\) of float64"),
    ({"obs": OBS, "action": ACTION, "terminated": True}, "terminated must have one number per row"),
    ({"obs": OBS, "action": ACTION, "trial": 4}, "trial must have one number per row"),
    ({"obs": OBS, "action": ACTION, "trial": TRIAL.astype(str)}, "trial must have one number per row"),
    ({"obs": OBS, "action": ACTION, "next_obs": OBS[:, :2]}, r"next_obs must have the shape of obs \(9, 3\)"),
    ({"obs": OBS[None], "action": ACTION}, r"rows and columns, got shape \(1, 9, 3\)"),
    ({"obs": OBS.astype(str), "action": ACTION}, "obs must be numeric"),
    ({"obs": OBS, "action": ACTION, "trial": TRIAL + 0.5}, "trial must be an integer"),
    ({"obs": OBS, "action": ACTION, "trial": TRIAL - 6}, "trial must be an integer"),
    ({"obs": OBS * np.nan, "action": ACTION}, "no valid transition: 8 of 8 are not finite"),
    ({"obs": OBS[:0], "action": ACTION[:0]}, "no valid transition: 0 of 0"),
    ({"obs": OBS[:1], "action": ACTION[:1]}, "no valid transition: 0 of 0"),
])  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(tmp_path, arrays, said):
    with pytest.raises(InputError, match=said):
        load_log(archive(tmp_path, **arrays))


@pytest.mark.parametrize(("text", "said"), [
    ("", "a header and rows below it, and it contains 0 lines"),
    ("obs0,action0\n", "it contains 1 lines"),
    ("x,action0\n1,2\n3,4\n", "begin with obs and with action, and it has x, action0"),
    ("obs0,force\n1,2\n3,4\n", "begin with obs and with action, and it has obs0, force"),
    ("obs0,action0\n1,2\n3\n", "row 3 has 1"),
    ("obs0,action0,trial\n1,2,0\n3,4,x\n", "trial must be an integer"),
    ("obs0,action0\none,2\ntwo,4\n", "1 of 1 are not finite"),
])  # fmt: skip
def test_tables_that_cannot_be_read_are_refused(tmp_path, text, said):
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        load_log(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_log(tmp_path / "nothing.csv")
    with pytest.raises(InputError, match="contains no trials"):
        load_log(tmp_path)
    for name, said in (("log.txt", "has an unknown format"), ("log.npz", "cannot be read as an .npz")):
        (tmp_path / name).write_bytes(b"\xff\xfe not what it should be")
        with pytest.raises(InputError, match=said):
            load_log(tmp_path / name)
    (tmp_path / "log.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"cannot be read as a \.csv"):
        load_log(tmp_path / "log.csv")


@pytest.mark.parametrize(("arrays", "said"), [
    ({"obs": OBS + 1j, "action": ACTION}, r"obs must be real with rows and columns, got shape \(9, 3\) of complex128"),
    ({"obs": OBS, "action": ACTION, "reward": REWARD + 0j}, "reward must have one number per row, .* complex128"),
    ({"obs": np.array([OBS, None], object), "action": ACTION}, "obs holds Python objects"),
    ({"obs": OBS.astype("datetime64[s]"), "action": ACTION}, "obs must be numeric .* datetime64"),
    ({"obs": np.zeros(9, [("x", float)]), "action": ACTION}, "obs must be numeric"),
    ({"obs": np.float64(3.0), "action": ACTION}, r"rows and columns, got shape \(\)"),
    ({"obs": OBS[:, :0], "action": ACTION}, "must have columns"),
    ({"obs": OBS, "action": ACTION, "truncated": np.zeros(8)}, "8 of truncated"),
    ({"obs": OBS, "action": ACTION, "time": np.arange(4.0)}, "4 of time"),
    ({"obs": OBS, "action": ACTION, "done": np.array(["no"] * 9)}, "done must have one number per row"),
    ({"obs": OBS, "action": ACTION, "trial": TRIAL * 1e300}, "trial must be an integer"),
])  # fmt: skip
def test_arrays_of_other_kinds_are_refused(tmp_path, arrays, said):
    with pytest.raises(InputError, match=said):
        load_log(archive(tmp_path, **arrays))


@pytest.mark.parametrize("dtype", [bool, np.int16, np.uint64, np.float16, np.longdouble])
def test_arrays_of_every_kind_of_number(tmp_path, dtype):
    obs = np.arange(18).reshape(9, 2).astype(dtype)
    log = load_log(archive(tmp_path, Obs=obs, ACTION=ACTION))
    near(log.trials[0].obs, obs[:-1].astype(float))


def test_an_archive_that_is_too_large_is_refused_before_it_is_unpacked(tmp_path):
    """13 MB of an archive hold 3 GB of zeros; here the head alone says so, and there is nothing behind it."""
    path = archive(tmp_path, action=ACTION)
    with zipfile.ZipFile(path, "a") as file, file.open("obs.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (10**8, 4)})
    with pytest.raises(InputError, match="100000000 rows of 4 numbers, and at most 100000000 numbers"):
        load_log(path)


def test_other_arrays_of_an_archive_are_not_read(tmp_path):
    path = archive(tmp_path, obs=OBS, action=ACTION)
    with zipfile.ZipFile(path, "a") as file, file.open("video.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (10**8, 4)})
    assert len(load_log(path).trials[0].reward) == 8


@pytest.mark.parametrize("clock", [
    {"time": np.array([1, 2, 3, 4, 7, 8, 9, 10, 11]) / 10},
    {"stamp": np.array([1, 2, 3, 4, 7, 8, 9, 10, 11]).astype("datetime64[ms]")},
    {"t": np.array([f"2024-03-01T10:00:{second:02d}" for second in (1, 2, 3, 4, 7, 8, 9, 10, 11)])},
    {"truncated": np.arange(9) == 3},
    {"done": np.arange(9) == 3},
    {"terminated": (np.arange(9) == 3).astype(float)},
])  # fmt: skip
@pytest.mark.parametrize("whole", [True, False])
def test_arrays_are_cut_at_jumps_and_ends(tmp_path, clock, whole):
    """A gap of three rows is no step, whether or not the file says where each step leads."""
    log = load_log(archive(tmp_path, obs=OBS, action=ACTION, **clock, **({"next_obs": OBS + 1} if whole else {})))
    assert [len(trial.reward) for trial in log.trials.values()] == ([4, 5] if whole else [3, 4])
    near(log.trials[1].obs, OBS[4:] if whole else OBS[4:-1])
    assert log.trials[0].truncated[-1] != (whole and "terminated" in clock)
    assert log.notes[0].startswith("The rows were cut into 2 trials, also at ")


def test_the_last_observation_may_stand_after_the_end(tmp_path):
    ends = np.isin(np.arange(9), [2, 7])  # the last but one of each trial
    log = load_log(archive(tmp_path, obs=OBS, action=ACTION, trial=TRIAL, terminated=ends))
    assert [trial.terminated.tolist() for trial in log.trials.values()] == [[0, 0, 1], [0, 0, 0, 1]]
    assert log.notes == ()


@pytest.mark.parametrize("value", [1e30, -3e38, 1e20, 1e13])
@pytest.mark.parametrize("name", ["obs", "action", "reward", "next_obs"])
def test_absurd_values_are_left_out_and_told(tmp_path, name, value):
    arrays = {"obs": OBS.copy(), "action": ACTION.copy(), "reward": REWARD.copy(), "next_obs": OBS + 1}
    arrays[name][5 if name == "reward" else (5, 1)] = value
    log = load_log(archive(tmp_path, **arrays))
    near(log.trials[0].obs, np.delete(OBS, 5, 0))
    assert f"Values of {name.removeprefix('next_')} were left out (1)" in log.notes[0]
    assert f"{value:.3g}" in log.notes[0]
    assert "1 of 9 transitions" in log.notes[1]


def test_rare_but_resolved_values_stay(tmp_path):
    """A contact force that is mostly zero, an object that is mostly at rest, and a column of large numbers."""
    obs = np.stack([np.eye(9)[4] * 1e9, 0.5 + 1e-12 * RNG.normal(size=9), 1e12 * RNG.normal(size=9)], 1)
    obs[6, 1] += 0.1
    log = load_log(archive(tmp_path, obs=obs, action=ACTION))
    assert len(log.trials[0].reward) == 8


@pytest.mark.parametrize("offset", [1e6, -4.5e6, 1e7])
def test_an_offset_that_hides_the_changes_is_refused(tmp_path, offset):
    """The changes are of size 3, of which float32 keeps less and less at such values."""
    obs = OBS.copy()
    obs[:, 1] += offset
    with pytest.raises(
        InputError, match=r"obs 1 is below the resolution: its values near .* change by about .*float32"
    ):
        load_log(archive(tmp_path, obs=0.01 * obs, action=ACTION))
    with pytest.raises(InputError, match="action 1 is below the resolution"):
        load_log(archive(tmp_path, obs=OBS, action=ACTION + np.array([0, offset])))


def test_an_offset_that_is_resolved_changes_nothing(tmp_path):
    counts = np.round(100 * OBS) + 4_500_000  # of an encoder: float32 holds them without rounding
    log = load_log(archive(tmp_path, obs=counts, action=ACTION))
    np.testing.assert_array_equal(np.diff(np.asarray(log.trials[0].obs, float), axis=0), np.diff(counts, axis=0)[:-1])
    assert log.notes == ()


def test_what_only_trembles_below_the_resolution_counts_as_constant_and_is_told(tmp_path):
    obs = OBS.copy()
    obs[:, 2] = 0.5 + 1e-10 * OBS[:, 2]
    log = load_log(archive(tmp_path, obs=obs, action=ACTION))
    assert len(set(np.asarray(log.trials[0].obs[:, 2]).tolist())) == 1
    assert log.notes[0].startswith("Entry obs 2 is below the resolution: its values near 0.5")
    assert log.notes[0].endswith("it counts as constant.")


def test_trial_files_that_do_not_fit_each_other_are_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for number, columns in ((0, 3), (1, 2)):
        np.savez(tmp_path / "checkpoints" / f"trial-{number:03d}.npz", obs=OBS[:, :columns], action=ACTION)
    with pytest.raises(InputError, match=r"trial-001.npz and trial-000.npz must hold the same columns"):
        load_log(tmp_path)
    (tmp_path / "checkpoints" / "trial-001.npz").rename(tmp_path / "checkpoints" / "trial-x.npz")
    with pytest.raises(InputError, match="trial- and a number"):
        load_log(tmp_path)
