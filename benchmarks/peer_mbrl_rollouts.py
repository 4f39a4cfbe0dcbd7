"""mbrl-lib's ensemble on our data: trained by its own trainer, rolled out by trajectory sampling.

Run by the peer's Python: PEER_PYTHON benchmarks/peer_mbrl_rollouts.py IN.npz OUT.npz

IN: obs, action, next_obs [b .] to train on; starts [s o], plans [s h a]; angles [k]; particles; seed. OUT: particles
[s p h+1 o]. Settings: 5 nets of 4 x 200, as in mbrl-lib's configuration of PETS for cart-pole; Adam at 1e-3, batches of
32, a fifth of the rows for validation, patience of 25 epochs of at most 50; bootstrap.
"""

import sys

import mbrl.models
import mbrl.util.common
import mbrl.util.replay_buffer
import numpy as np
import torch


def main() -> None:
    """Train, roll out, write."""
    given = np.load(sys.argv[1])
    torch.manual_seed(int(given["seed"]))
    rng = np.random.default_rng(int(given["seed"]))
    obs, action, next_obs = (given[name].astype(np.float32) for name in ("obs", "action", "next_obs"))
    angles = [int(index) for index in given["angles"]]
    plain = [index for index in range(obs.shape[1]) if index not in angles]

    def seen(values: torch.Tensor) -> torch.Tensor:
        return torch.cat([values[..., plain], torch.sin(values[..., angles]), torch.cos(values[..., angles])], -1)

    def processed(values: np.ndarray | torch.Tensor) -> np.ndarray | torch.Tensor:
        return seen(values) if isinstance(values, torch.Tensor) else seen(torch.as_tensor(values)).numpy()

    inputs = len(plain) + 2 * len(angles) + action.shape[1]
    net = mbrl.models.GaussianMLP(inputs, obs.shape[1], "cpu", num_layers=4, ensemble_size=5, hid_size=200)
    model = mbrl.models.OneDTransitionRewardModel(
        net, target_is_delta=True, normalize=True, normalize_double_precision=True, learned_rewards=False,
        obs_process_fn=processed,
    )  # fmt: skip
    buffer = mbrl.util.replay_buffer.ReplayBuffer(len(obs), obs.shape[1:], action.shape[1:], rng=rng)
    for row in range(len(obs)):
        buffer.add(obs[row], action[row], next_obs[row], 0.0, False, False)
    model.update_normalizer(buffer.get_all())
    train, held = mbrl.util.common.get_basic_buffer_iterators(
        buffer, batch_size=32, val_ratio=0.2, ensemble_size=5, shuffle_each_epoch=True, bootstrap_permutes=False
    )
    mbrl.models.ModelTrainer(model, optim_lr=1e-3, weight_decay=5e-5).train(
        train, held, num_epochs=50, patience=25, silent=True
    )
    np.savez(sys.argv[2], particles=rolled(net, model, seen, given))


def rolled(net, model, seen, given) -> np.ndarray:  # noqa: ANN001
    """Particles that each stay in one member, with its noise."""
    starts, plans, count = given["starts"], given["plans"], int(given["particles"])
    members = torch.arange(count) % 5
    at = torch.as_tensor(starts, dtype=torch.float32)[:, None].expand(-1, count, -1).clone()
    way = [at]
    with torch.no_grad():
        for step in range(plans.shape[1]):
            act = torch.as_tensor(plans[:, step], dtype=torch.float32)[:, None].expand(-1, count, -1)
            x = torch.cat([seen(at), act], -1).reshape(-1, net.in_size)
            mean, log_var = net(model.input_normalizer.normalize(x).float(), use_propagation=False)
            shape = (5, len(starts), count, -1)
            pick = members.view(1, 1, count, 1).expand(1, len(starts), count, at.shape[-1])
            mean, log_var = (value.reshape(shape).gather(0, pick)[0] for value in (mean, log_var))
            at = at + mean + torch.randn_like(mean) * torch.exp(0.5 * log_var)
            way.append(at)
    return torch.stack(way, 2).numpy()


if __name__ == "__main__":
    main()
