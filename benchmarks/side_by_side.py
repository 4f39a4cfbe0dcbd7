"""One of our benchmarks and another library's, in turn, several times; a ratio for each pair.

    python benchmarks/side_by_side.py --ours "plan --repeats 9" --peer "PYTHON peer_plan.py" --rounds 5 --out FILE

`--ours` is what follows `handful bench`, `--peer` a Python and its script. The peer's last line of output is one JSON
object. Both hold `seconds` or `steps_per_second`, or what `--seconds` names; a ratio above 1 means ours is faster.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PEERS = ["torch", "mbrl", "gpytorch", "stable-baselines3"]


def main() -> None:
    """Run the rounds and write all that was read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--seconds", default=[], nargs="*", help="names of durations to compare, the first one first")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    peer_words = shlex.split(options.peer)
    rounds = []
    for _ in range(options.rounds):
        pair = {"ours": ours(shlex.split(options.ours)), "peer": peer(peer_words)}
        for name in options.seconds:
            pair[f"ratio of {name}"] = pair["peer"][name] / pair["ours"][name]
        first = options.seconds[0] if options.seconds else None
        mine, theirs = (1 / pair[who][first] if first else speed(pair[who]) for who in ("ours", "peer"))
        pair["ratio"] = mine / theirs
        rounds.append(pair)
        sys.stdout.write(f"ours {mine:.4g}  peer {theirs:.4g}  ratio {pair['ratio']:.2f}\n")
    result: dict[str, Any] = {
        "ours": f"handful bench {options.ours}",
        "peer": " ".join(["python", Path(peer_words[1]).name, *peer_words[2:]]),
        "peer_versions": versions(peer_words[0]),
        "ratio_median": statistics.median(pair["ratio"] for pair in rounds),
        "ratios": [pair["ratio"] for pair in rounds],
        **{
            f"ratio of {name}, median": statistics.median(pair[f"ratio of {name}"] for pair in rounds)
            for name in options.seconds
        },
        "shares": [pair["ours"]["share"] for pair in rounds],
        "share_median": statistics.median(pair["ours"]["share"] for pair in rounds),
        "rounds": rounds,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    sys.stdout.write(f"median ratio {result['ratio_median']:.2f}, median share {result['share_median']:.2f}\n")


def ours(words: list[str]) -> dict[str, Any]:
    """One run of `handful bench`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        command = [sys.executable, "-m", "handful.cli.main", "bench", *words, "--json", str(file)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.loads(file.read_text())


def peer(words: list[str]) -> dict[str, Any]:
    """One run of the peer."""
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def versions(python: str) -> dict[str, str]:
    """What the peer's Python has installed of what peers are made of."""
    ask = (
        "import importlib.metadata as m, json; "
        f"names = {PEERS}; there = {{d.name.lower() for d in m.distributions()}}; "
        "print(json.dumps({name: m.version(name) for name in names if name in there}))"
    )
    return json.loads(subprocess.run([python, "-c", ask], check=True, stdout=subprocess.PIPE, text=True).stdout)


def speed(result: dict[str, Any]) -> float:
    """Plans or steps a second."""
    return result["steps_per_second"] if "steps_per_second" in result else 1 / result["seconds"]


if __name__ == "__main__":
    main()
