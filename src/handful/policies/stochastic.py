"""Stochastic policies: a net that gives a distribution over raw actions. And the value net beside them."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from handful.errors import InputError
from handful.policies.actor import AbstractActor
from handful.policies.base import AbstractPolicy
from handful.policies.distributions import AbstractDistribution, Categorical, Gaussian
from handful.policies.inputs import Inputs
from handful.policies.mlp import MLP
from handful.task import Task

_FINAL_SCALE = 0.01  # of the last layer's weights, so that at first the distribution hardly depends on the observation
_TANH_LIMIT = 0.999  # share of the action limit that `from_env_action` allows, since tanh never reaches 1


class GaussianHead(eqx.Module):
    """A normal distribution: a net gives the mean, the std is a parameter that does not depend on the observation."""

    net: MLP
    log_std: Float[Array, "c"]

    def __call__(self, x: Float[Array, "i"]) -> Gaussian:
        return Gaussian(self.net(x), self.log_std)


class StateDependentGaussianHead(eqx.Module):
    """A normal distribution: a net gives mean and log std, the latter squashed by tanh into `log_std_bounds`."""

    net: MLP  # from inputs to 2 c outputs
    log_std_bounds: tuple[float, float] = eqx.field(static=True, default=(-5.0, 2.0))

    @classmethod
    def init(
        cls, net: MLP, log_std: Float[Array, "c"], log_std_bounds: tuple[float, float] = (-5.0, 2.0)
    ) -> "StateDependentGaussianHead":
        """With the biases of the last layer set so that the log std begins near `log_std`, strictly within bounds."""
        low, high = log_std_bounds
        share = jnp.clip(2 * (log_std - low) / (high - low) - 1, -_TANH_LIMIT, _TANH_LIMIT)
        last = net.biases[-1].at[log_std.shape[0] :].set(jnp.arctanh(share))
        return cls(eqx.tree_at(lambda n: n.biases[-1], net, last), log_std_bounds)

    def __call__(self, x: Float[Array, "i"]) -> Gaussian:
        mean, raw = jnp.split(self.net(x), 2)
        low, high = self.log_std_bounds
        return Gaussian(mean, low + (high - low) * (jnp.tanh(raw) + 1) / 2)


class CategoricalHead(eqx.Module):
    """Categories whose logits a net gives."""

    net: MLP

    def __call__(self, x: Float[Array, "i"]) -> Categorical:
        return Categorical(self.net(x))


Head = GaussianHead | StateDependentGaussianHead | CategoricalHead


class StochasticPolicy(AbstractActor):
    """Samples raw actions from the head's distribution; only the head is trained by gradients.

    A continuous raw action in [-1, 1] spans the action limits. Outside it is clipped, or, with `squash`, every raw
    action is mapped into the limits by tanh. Probabilities are always those of the raw action.
    """

    head: Head
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
        state_dependent_std: bool = False,
    ) -> "StochasticPolicy":
        """For continuous actions. `log_std` is the initial one. Raises `InputError` if the actions are categories."""
        if task.categorical:
            raise InputError("a Gaussian policy needs continuous actions, but this task's actions are categories")
        inputs = Inputs.of(task)
        outputs = task.action_size * (2 if state_dependent_std else 1)
        net = MLP.init(key, (inputs.size, *hidden, outputs), _FINAL_SCALE)
        log_stds = jnp.broadcast_to(jnp.asarray(log_std, float), (task.action_size,))
        head = StateDependentGaussianHead.init(net, log_stds) if state_dependent_std else GaussianHead(net, log_stds)
        return cls(head, inputs, task.low, task.high, squash)

    @classmethod
    def categorical(cls, key: PRNGKeyArray, task: Task, hidden: tuple[int, ...]) -> "StochasticPolicy":
        """For categories. Raises `InputError` if the actions are continuous."""
        if not task.categorical:
            raise InputError("a categorical policy needs categories as actions, but this task's are continuous")
        inputs = Inputs.of(task)
        net = MLP.init(key, (inputs.size, *hidden, task.action_size), _FINAL_SCALE)
        return cls(CategoricalHead(net), inputs, task.low, task.high)

    def distribution(self, obs: Float[Array, "o"]) -> AbstractDistribution:
        """The distribution of raw actions at `obs`."""
        return self.head(self.inputs(obs))

    def sample(self, key: PRNGKeyArray, obs: Float[Array, "o"]) -> Float[Array, "c"]:
        return self.distribution(obs).sample(key)

    def to_env_action(self, raw_action: Float[Array, "c"]) -> Float[Array, "a"]:
        if isinstance(self.head, CategoricalHead):
            return raw_action
        unit = jnp.tanh(raw_action) if self.squash else jnp.clip(raw_action, -1.0, 1.0)
        action = (self.low + self.high) / 2 + unit * (self.high - self.low) / 2
        return jnp.clip(action, self.low, self.high)  # rounding may exceed a limit slightly

    def from_env_action(self, action: Float[Array, "a"]) -> Float[Array, "c"]:
        """A raw action that `to_env_action` maps to `action`, or close to it: with `squash`, limits are not reached."""
        if isinstance(self.head, CategoricalHead):
            return action
        half_range = jnp.maximum((self.high - self.low) / 2, 1e-12)
        unit = jnp.clip((action - (self.low + self.high) / 2) / half_range, -1.0, 1.0)
        return jnp.arctanh(_TANH_LIMIT * unit) if self.squash else unit


class Mode(AbstractPolicy):
    """The deterministic policy that takes a stochastic policy's most likely action."""

    stochastic: StochasticPolicy

    def init(self) -> None:
        return None

    def __call__(self, key: PRNGKeyArray, obs: Float[Array, "o"], carry: None) -> tuple[Float[Array, "a"], None]:
        return self.stochastic.to_env_action(self.stochastic.distribution(obs).mode()), None


class Value(eqx.Module):
    """A net's estimate of the expected discounted return from an observation."""

    net: MLP
    inputs: Inputs

    @classmethod
    def init(cls, key: PRNGKeyArray, task: Task, hidden: tuple[int, ...]) -> "Value":
        inputs = Inputs.of(task)
        return cls(MLP.init(key, (inputs.size, *hidden, 1)), inputs)

    def __call__(self, obs: Float[Array, "o"]) -> Float[Array, ""]:
        return self.net(self.inputs(obs))[0]
