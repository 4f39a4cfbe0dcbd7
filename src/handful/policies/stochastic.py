"""The stochastic policy: a net that gives a distribution over choices."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.errors import InputError
from handful.policies.base import AbstractPolicy
from handful.policies.distributions import AbstractDistribution, Categorical, Gaussian
from handful.policies.inputs import Inputs
from handful.policies.learner import AbstractActor
from handful.policies.mlp import MLP
from handful.task import Task

_FIRST_SCALE = 0.01  # of the last layer: all choices start out almost equally likely
_ALMOST = 0.999  # of the limit, which a tanh never reaches


class GaussianHead(eqx.Module):
    """A normal distribution whose mean a net gives; its std is a parameter of its own."""

    net: MLP
    log_std: Float[Array, "c"]

    def __call__(self, x: Float[Array, "i"]) -> Gaussian:
        return Gaussian(self.net(x), self.log_std)


class CategoricalHead(eqx.Module):
    """Categories whose logits a net gives."""

    net: MLP

    def __call__(self, x: Float[Array, "i"]) -> Categorical:
        return Categorical(self.net(x))


class StochasticPolicy(AbstractActor):
    """What is learned is the head; the rest tells what it sees and what its choices stand for.

    A continuous choice between -1 and 1 spans the action limits. Beyond it is clipped, or, where `squash`, every choice
    is brought within by its tanh. Either way the choice itself is what has a probability.
    """

    head: GaussianHead | CategoricalHead
    inputs: Inputs
    low: Float[Array, "a"]
    high: Float[Array, "a"]
    squash: bool = eqx.field(static=True, default=False)

    @classmethod
    def gaussian(
        cls,
        key: PRNGKeyArray,
        task: Task,
        hidden: tuple[int, ...],
        *,
        log_std: float | Array = 0.0,
        squash: bool = False,
    ) -> "StochasticPolicy":
        """For continuous actions. Raises `InputError` where they are categories."""
        if task.categorical:
            raise InputError("a Gaussian policy has continuous actions, and this task's are categories")
        inputs = Inputs.of(task)
        net = MLP.init(key, (inputs.size, *hidden, task.action_size), _FIRST_SCALE)
        head = GaussianHead(net, jnp.broadcast_to(jnp.asarray(log_std, float), (task.action_size,)))
        return cls(head, inputs, task.low, task.high, squash)

    @classmethod
    def categorical(cls, key: PRNGKeyArray, task: Task, hidden: tuple[int, ...]) -> "StochasticPolicy":
        """For categories. Raises `InputError` where actions are continuous."""
        if not task.categorical:
            raise InputError("a categorical policy chooses among categories, and this task's actions are continuous")
        inputs = Inputs.of(task)
        net = MLP.init(key, (inputs.size, *hidden, task.action_size), _FIRST_SCALE)
        return cls(CategoricalHead(net), inputs, task.low, task.high)

    def distribution(self, obs: Float[Array, "o"]) -> AbstractDistribution:
        """What it draws from."""
        return self.head(self.inputs(obs))

    def draw(self, key: PRNGKeyArray, obs: Float[Array, "o"]) -> Float[Array, "c"]:
        return self.distribution(obs).sample(key)

    def to_env_action(self, choice: Float[Array, "c"]) -> Float[Array, "a"]:
        if isinstance(self.head, CategoricalHead):
            return choice
        within = jnp.tanh(choice) if self.squash else jnp.clip(choice, -1.0, 1.0)
        action = (self.low + self.high) / 2 + within * (self.high - self.low) / 2
        return jnp.clip(action, self.low, self.high)  # rounding may pass a limit by a hair

    def choice_of(self, action: Float[Array, "a"]) -> Float[Array, "c"]:
        """A choice that an action can have come from."""
        if isinstance(self.head, CategoricalHead):
            return action
        half_range = jnp.maximum((self.high - self.low) / 2, 1e-12)
        within = jnp.clip((action - (self.low + self.high) / 2) / half_range, -1.0, 1.0)
        return jnp.arctanh(_ALMOST * within) if self.squash else within


class Mode(AbstractPolicy):
    """A stochastic policy that always takes the likeliest choice."""

    stochastic: StochasticPolicy

    def init(self) -> None:
        return None

    def __call__(self, key: PRNGKeyArray, obs: Float[Array, "o"], carry: None) -> tuple[Float[Array, "a"], None]:
        return self.stochastic.to_env_action(self.stochastic.distribution(obs).mode()), None


class Value(eqx.Module):
    """The expected discounted return from an observation, as a net tells it."""

    net: MLP
    inputs: Inputs

    @classmethod
    def init(cls, key: PRNGKeyArray, task: Task, hidden: tuple[int, ...]) -> "Value":
        inputs = Inputs.of(task)
        return cls(MLP.init(key, (inputs.size, *hidden, 1)), inputs)

    def __call__(self, obs: Float[Array, "o"]) -> Float[Array, ""]:
        return self.net(self.inputs(obs))[0]
