"""What kind of method an agent is: whose experience it learns from, and what it learns."""

from dataclasses import dataclass

ON_POLICY, OFF_POLICY, MODEL_BASED, UNKNOWN = "on-policy", "off-policy", "model-based", "kind not known"


@dataclass(frozen=True)
class Kind:
    """One row of the lecture's map of methods."""

    experience: str  # what it improves from: its present policy's, any policy's, or a model fitted to all there is
    learns: str  # what the experience goes into
    tabular: bool = False  # on the cells of a grid


# By what each does here: SARSA's targets, expected or not, are those of the policy that acts. From many samples to few.
KINDS = {
    "sarsa": Kind(ON_POLICY, "values of cells", tabular=True),
    "expected-sarsa": Kind(ON_POLICY, "values of cells", tabular=True),
    "reinforce": Kind(ON_POLICY, "a policy"),
    "a2c": Kind(ON_POLICY, "a policy and values"),
    "trpo": Kind(ON_POLICY, "a policy and values"),
    "ppo-penalty": Kind(ON_POLICY, "a policy and values"),
    "ppo": Kind(ON_POLICY, "a policy and values"),
    "q-learning": Kind(OFF_POLICY, "values of cells", tabular=True),
    "dqn": Kind(OFF_POLICY, "values"),
    "dp": Kind(MODEL_BASED, "counts of cells, values by sweeps", tabular=True),
    "dyna-q": Kind(MODEL_BASED, "counts of cells, values by practice", tabular=True),
    "me-trpo": Kind(MODEL_BASED, "a model, a policy in it"),
    "mbpo": Kind(MODEL_BASED, "a model, a policy in it"),
    "pets+policy": Kind(MODEL_BASED, "a model, a policy in it, plans"),
    "pilco": Kind(MODEL_BASED, "a model, a policy in it"),
    "mpc": Kind(MODEL_BASED, "a model, plans"),
    "pets": Kind(MODEL_BASED, "a model, plans"),
}


def kind_of(agent: str) -> Kind:
    """The kind of an agent, by its name; one that is not ours is of no known kind.

    >>> kind_of("dqn").experience, kind_of("theirs").experience
    ('off-policy', 'kind not known')
    """
    return KINDS.get(agent, Kind(UNKNOWN, "not known"))


def rank(agent: str) -> int:
    """Where an agent stands among all: kinds together, those that are not ours last."""
    names = list(KINDS)
    return names.index(agent) if agent in names else len(names)
