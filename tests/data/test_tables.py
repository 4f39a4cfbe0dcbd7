"""Text as spreadsheets, loggers and NumPy write it: read rightly, or refused in one sentence."""

import numpy as np
import pytest

from handful.data.columns import is_clock
from handful.data.loaders import load_log
from handful.errors import InputError

OBS, ACTION = np.array([[1.25, -0.5], [2.5, 0.25], [3.0, 0.75], [4.5, -1.25]]), np.array([0.5, -0.25, 1.0, 0.125])
PLAIN = "obs x,obs y,action\n" + "".join(f"{x},{y},{u}\n" for (x, y), u in zip(OBS, ACTION, strict=True))


def log_of(tmp_path, text, name="log.csv", encoding="utf-8"):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return load_log(tmp_path / name)


def comma(text):
    return text.replace(",", ";").replace(".", ",")


HEAD, _, BODY = PLAIN.partition("\n")


@pytest.mark.parametrize(("text", "encoding"), [
    (PLAIN, "utf-8"),
    (PLAIN, "utf-8-sig"),
    (PLAIN, "utf-16"),
    (PLAIN, "utf-16-le"),
    (PLAIN, "utf-16-be"),
    (PLAIN.replace("obs x", "obs x [\N{DEGREE SIGN}]"), "latin-1"),
    (PLAIN.replace("\n", "\r\n"), "utf-8"),
    (PLAIN.replace("\n", "\r"), "utf-8"),
    (PLAIN.replace("\n", "\r\r\n"), "utf-8"),
    (PLAIN.replace("\n", "\n\n"), "utf-8"),
    ("\n\n" + PLAIN + "\n\n,,\n", "utf-8"),
    (PLAIN.replace("obs", "Obs").replace("action", "ACTION"), "utf-8"),
    (PLAIN.replace(",", "\t"), "utf-8"),
    (PLAIN.replace(",", "|"), "utf-8"),
    (PLAIN.replace(",", " ; "), "utf-8"),
    ("sep=;\n" + PLAIN.replace(",", ";"), "utf-8"),
    (comma(PLAIN), "utf-8"),
    (comma(PLAIN), "utf-16"),
    (comma(PLAIN).replace(";", "\t"), "utf-8"),
    ("# " + PLAIN, "utf-8"),
    ("Recorded on Tuesday\n# by hand\n" + PLAIN, "utf-8"),
    (PLAIN.replace("\n", ",\n"), "utf-8"),
    (PLAIN.replace("\n", ",\n").replace(HEAD + ",", HEAD), "utf-8"),
    (PLAIN.replace("-", "\N{MINUS SIGN}"), "utf-8"),
    (HEAD + "\n" + BODY.replace("0.5,", "5e-1,").replace("1.25", "0.125E+01"), "utf-8"),
    ('"' + PLAIN.replace(",", '","').replace("\n", '"\n"').removesuffix('"'), "utf-8"),
    (HEAD + "\nm,m/s2,N\n" + BODY, "utf-8"),
    (HEAD + "\n[m],-,N m\n,,\n" + BODY, "utf-8"),
])  # fmt: skip
def test_the_same_numbers_in_other_clothes(tmp_path, text, encoding):
    log = log_of(tmp_path, text, encoding=encoding)
    (trial,) = log.trials.values()
    np.testing.assert_array_equal(trial.obs, OBS[:-1])
    np.testing.assert_array_equal(trial.next_obs, OBS[1:])
    np.testing.assert_array_equal(trial.action[:, 0], ACTION[:-1])
    assert [name[0] for name in log.names] == ["x", "y"]
    assert all("units" in note for note in log.notes)


@pytest.mark.parametrize("name", ["log.CSV", "log.Csv", "log.tsv"])
def test_names_of_files(tmp_path, name):
    assert len(log_of(tmp_path, PLAIN, name).trials[0].reward) == 3


@pytest.mark.parametrize(("cells", "number"), [
    (["1,234.5", "2,345.5"], 1234.5),
    (["1.234,5", "2.345,5"], 1234.5),
    (["1.234.567", "2.345.678"], 1234567),
    (["1,234,567", "7"], 1234567),
    (["1,234", "1.5"], 1234),
    (["1,234", "1,5"], 1.234),
    (["0,234", "1,235"], 0.234),
    (["1 234,5", "2,5"], 1234.5),
    (["1'234.5", "2.5"], 1234.5),
    (["1\N{NARROW NO-BREAK SPACE}234", "2"], 1234),
])  # fmt: skip
def test_decimal_marks_and_thousands(tmp_path, cells, number):
    text = "obs0;action0\n" + "".join(f"{cell};1\n" for cell in cells)
    assert log_of(tmp_path, text).trials[0].obs[0, 0] == np.float32(number)


@pytest.mark.parametrize(("cells", "said"), [
    (["1,234", "2,345"], "may be a decimal mark or separate thousands"),
    (["1,5", "2.5"], "one decimal mark, and it has a comma in '1,5' and a point in '2.5'"),
])  # fmt: skip
def test_numbers_with_two_meanings_are_refused(tmp_path, cells, said):
    with pytest.raises(InputError, match=said):
        log_of(tmp_path, "obs0;action0\n" + "".join(f"{cell};1\n" for cell in cells))


@pytest.mark.parametrize("word", ["NaN", "nan", "NA", "N/A", "null", "None", "", "-", "#N/A", "inf", "-Infinity"])
def test_missing_values(tmp_path, word):
    log = log_of(tmp_path, f"obs0,action0\n1,2\n3,4\n{word},5\n7,8\n9,1\n")
    np.testing.assert_array_equal(log.trials[0].obs[:, 0], [1, 7])
    assert log.notes == ("2 of 4 transitions are not finite and were left out.",)


def test_other_words_are_named(tmp_path):
    log = log_of(tmp_path, "obs0,action0\n1,2\n3 m,4\n5,6\n7,8\n")
    assert log.notes[0] == "Cells hold no number (1), such as '3 m' in row 3."


@pytest.mark.parametrize(("yes", "no"), [
    ("True", "False"), ("TRUE", "FALSE"), ("yes", "no"), ("Y", "N"), ("1", "0"), ("1.0", "0.0"), ("t", ""),
])  # fmt: skip
def test_flags_in_every_spelling(tmp_path, yes, no):
    log = log_of(tmp_path, f"obs0,action0,Terminated\n1,2,{no}\n3,4,{no}\n5,6,{yes}\n7,8,{no}\n")
    assert log.trials[0].terminated.tolist() == [False, False, True]


@pytest.mark.parametrize(("text", "said"), [
    ("obs0,action0,terminated\n1,2,0\n3,4,maybe\n", "yes or no; row 3 has 'maybe'"),
    ("obs0,obs0,action0\n1,2,3\n4,5,6\n", "'obs0' comes more than once"),
    ("obs0,action0,trial,Trial\n1,2,0,0\n4,5,0,0\n", "comes more than once"),
    ("obs0,action0\n\n\n", "1 lines"),
    ("obs0,action0\n1,2\n3,4,5\n", "row 3 has 3; commas within numbers need quotes"),
    ("obs0,action0,trial\n1,2,0\n3,4,-1\n", "in row 2 of the data it is -1"),
    ("obs0,action0,trial\n1,2,0.5\n3,4,0.5\n", "integer of at least 0"),
    ("obs0,action0,trial\n1,2,0\n3,4,1e300\n", "integer of at least 0"),
    ("obs0,action0,trial\n1,2,0\n3,4,\n", "it is no number"),
    ("obs0,obs1,next_obs0,action0\n1,2,3,4\n3,4,5,6\n", "as many columns of next_obs as of obs, 2, got 1"),
    ("obs0,action0,time\n1,2,0\n3,4,1\n5,6,2\n7,8,12\n1,2,112\n", "one common step apart, .* column time differ"),
    (b"PK\x03\x04\0\0\0\0", "cannot be read as a .csv"),
])  # fmt: skip
def test_what_is_refused(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        log_of(tmp_path, text)


def pairs(log):
    """What each trial steps from and to."""
    return [list(zip(one.obs[:, 0].tolist(), one.next_obs[:, 0].tolist(), strict=True)) for one in log.trials.values()]


def rows(columns, *lines):
    return f"obs0,action0,{columns}\n" + "".join(f"{line}\n" for line in lines)


TWO = [[(1, 2), (2, 3)], [(5, 6), (6, 7)]]


@pytest.mark.parametrize(("text", "cause"), [
    (rows("time", "1,0,0.1", "2,0,0.2", "3,0,0.3", "5,0,0.6", "6,0,0.7", "7,0,0.8"), "jumps of time"),
    (rows("Time [s]", "1,0,1", "2,0,2", "3,0,3", "5,0,1", "6,0,2", "7,0,3"), "jumps of Time"),
    (rows("t", "1,0,1", "2,0,2", "3,0,3", "5,0,3", "6,0,4", "7,0,5"), "jumps of t"),
    (rows("stamp", *(f"{i},0,2024-03-01T23:59:{50 + i:02d}" for i in (1, 2, 3, 5, 6, 7))), "jumps of stamp"),
    (rows("time", *(f"{i},0,23:59:{50 + i:02d}.5" for i in (1, 2, 3, 5, 6, 7))), "jumps of time"),
    (rows("step", *(f"{i},0,{i}" for i in (1, 2, 3, 5, 6, 7))), "jumps of step"),
    (rows("trial", "1,0,0", "2,0,0", "3,0,0", "", "5,0,0", "6,0,0", "7,0,0"), "blank lines"),
    (rows("trial", "1,0,0", "2,0,0", "3,0,0", "obs0,action0,trial", "5,0,0", "6,0,0", "7,0,0"), "headers"),
    (rows("trial", "1,0,0", "2,0,0", "3,0,0", ",,", "5,0,0", "6,0,0", "7,0,0"), "blank lines"),
    (rows("terminated", "1,0,0", "2,0,0", "3,0,1", "5,0,0", "6,0,0", "7,0,0"), "ends in the middle"),
    (rows("truncated", "1,0,no", "2,0,no", "3,0,yes", "5,0,no", "6,0,no", "7,0,no"), "ends in the middle"),
    (rows("Done", "1,0,False", "2,0,", "3,0,True", "5,0,False", "6,0,False", "7,0,"), "ends in the middle"),
])  # fmt: skip
def test_rows_are_not_joined_across_borders(tmp_path, text, cause):
    log = log_of(tmp_path, text)
    assert pairs(log) == TWO
    assert list(log.trials) == [0, 1]
    (note,) = [note for note in log.notes if "cut into" in note]
    assert note.startswith("The rows were cut into 2 trials, also at ")
    assert cause in note
    assert "(1)" in note


def test_trial_numbers_that_start_again_are_further_trials(tmp_path):
    numbers = [4, 4, 7, 7, 4, 4, 7, 7]
    log = log_of(tmp_path, rows("trial", *(f"{i},0,{number}" for i, number in enumerate(numbers))))
    assert {number: trial.obs[:, 0].tolist() for number, trial in log.trials.items()} == {
        4: [0], 7: [2], 8: [4], 9: [6],
    }  # fmt: skip
    assert log.notes == ("The rows were cut into 4 trials, also at returns to earlier trial numbers (2).",)


def test_trials_whose_rows_alternate_are_told_apart(tmp_path):
    log = log_of(tmp_path, rows("trial", *(f"{i},0,{i % 2}" for i in range(8))))
    assert pairs(log) == [[(0, 2), (2, 4), (4, 6)], [(1, 3), (3, 5), (5, 7)]]
    assert "alternate" in log.notes[0]


def test_next_obs_of_a_table(tmp_path):
    log = log_of(tmp_path, "obs a,next_obs a,action0,done\n1,2,0,0\n2,9,0,1\n5,6,0,0\n")
    assert pairs(log) == [[(1, 2), (2, 9)], [(5, 6)]]
    assert log.names == ("a",)


def test_names_without_their_prefix(tmp_path):
    log = log_of(tmp_path, "Obs speed,observation_height,OBS_3,action\n1,2,3,4\n1,2,3,4\n")
    assert log.names == ("speed", "height", "OBS_3")


@pytest.mark.parametrize(
    "name", ["time", " Time [s]", "t (ms)", "STAMP", "time stamp", "timestamp_us", "time_s", "step"]
)
def test_names_of_clocks(name):
    assert is_clock(name)


@pytest.mark.parametrize("name", ["step_ms", "temperature", "torque", "time_limit", "obs time", "trial", "steps", "T1"])
def test_names_of_no_clocks(name):
    assert not is_clock(name)
