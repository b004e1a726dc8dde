"""The training loop of every task: CPU, one GPU, or many processes under torchrun."""

import contextlib
import json
import math
import os
import signal
import sys
import threading
import time
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from bigmodel.errors import TrainingError, first_line
from bigmodel.training.optimizer import has_fast_bf16, make_optimizers, rate, set_rate
from bigmodel.training.plot import plot_log
from bigmodel.training.prefetch import read_ahead
from bigmodel.training.state import load_state, replacing, save_state


def find_device():
    """Return this process' GPU, or the CPU where there is none."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


class _Loss(nn.Module):
    """The loss as a module's forward: what DDP and torch.compile wrap."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *batch):
        return self.model.loss(*batch)


class Trainer:
    """Trains a model and keeps its checkpoint, log and plot in a folder.

    The folder gets checkpoint.pt (everything that a resumed run needs), best.pt (the weights with the lowest
    validation loss), log.jsonl and loss.png. A run that finds a checkpoint goes on from it, under the settings that
    it is given now. SIGTERM and Ctrl-C end a run after its step, with a checkpoint: ``timeout --preserve-status 9m
    python -m bigmodel train …`` trains for nine minutes at most, and exits with 130 where the run is not finished.

    Args:
        model: nn.Module with ``loss(*batch)``, a mean in nats.
        data: object with ``batch(step, rank, world)``, a tuple of tensors that depends on the step alone, and
            ``tokens_per_step``; ``unit`` names what it counts, such as "tokens".
        settings: TrainingSettings.
        folder: where the run is kept; made where missing.
        validate: function of the model that returns a dict with "loss"; lower is better. None for no validation.

    Raises:
        TrainingError: the folder's checkpoint is broken or of another model.
    """

    def __init__(self, model, data, settings, folder, *, validate=None):
        self.settings, self.data, self.validate = settings, data, validate
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.device = find_device()
        if self.world > 1 and not torch.distributed.is_initialized():
            torch.distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        self.model = model.to(self.device)
        self.bf16 = settings.bf16 and has_fast_bf16(self.device)
        self.optimizers = make_optimizers(self.model, settings)
        self.step, self.seconds, self.best, self.loss, self.stopped = 0, 0.0, math.inf, math.nan, False
        self.ema = None
        self._resume()
        self.module = self._wrap()
        self._batches, self._saved = None, time.monotonic()

    def _wrap(self):
        module = _Loss(self.model)
        if self.world > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            module = nn.parallel.DistributedDataParallel(module, device_ids=ids)
        return torch.compile(module) if self.settings.compile else module

    # --- checkpoint -------------------------------------------------------------------------------------------

    def _state(self):
        return {
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "model": self.model.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "ema": self.ema,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
        }

    def _resume(self):
        torch.manual_seed(self.settings.seed + 1000 * self.rank)
        state = load_state(self.folder / "checkpoint.pt")
        log = self.folder / "log.jsonl"
        lines = log.read_text().splitlines() if state and log.exists() else []
        if state:
            self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
            try:
                self.model.load_state_dict(state["model"])
                for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                    groups = optimizer.state_dict()["param_groups"]  # today's settings, not the checkpoint's
                    optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})
            except (RuntimeError, ValueError, KeyError) as error:
                text = f"{self.folder} holds the checkpoint of another model or optimiser; choose another folder"
                raise TrainingError(f"{text} ({first_line(error)})") from error
            if self.rank == 0:
                tqdm.write(f"{self.folder} is at step {self.step}; going on from there", file=sys.stderr)
                torch.set_rng_state(state["rng"])
                if state["cuda_rng"] is not None and self.device.type == "cuda":
                    torch.cuda.set_rng_state(state["cuda_rng"])
        if self.settings.ema:
            saved = state and state["ema"]
            averages = saved or [tensor.detach().clone() for tensor in self._averaged_tensors()]
            self.ema = [average.to(self.device) for average in averages]
        if self.rank == 0:  # lines after the checkpoint will be written again
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= self.step]
            with replacing(log) as part:
                part.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def _averaged_tensors(self):
        """Return the weights, and what the layers have counted, such as a batch normalisation's means."""
        counted = (buffer for buffer in self.model.buffers() if buffer.is_floating_point())
        return [*self.model.parameters(), *counted]

    def _log(self, **values):
        if self.rank != 0:
            return
        try:
            with open(self.folder / "log.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": self.step, **values}) + "\n")
        except OSError as error:
            raise TrainingError(f"{self.folder} cannot be written, the last checkpoint is kept: {error}") from error

    # --- progress ---------------------------------------------------------------------------------------------

    def _progress(self):
        """Return the share of the run that is done; the limit that is nearer decides."""
        settings = self.settings
        by_step = self.step / settings.max_steps if settings.max_steps else 0.0
        by_time = self.seconds / 60 / settings.max_minutes if settings.max_minutes else 0.0
        progress = max(by_step, by_time)
        if self.world > 1 and settings.max_minutes:  # clocks differ, the schedule must not
            shared = torch.tensor(progress, device=self.device)
            torch.distributed.broadcast(shared, 0)
            progress = shared.item()
        return progress

    # --- the loop ---------------------------------------------------------------------------------------------

    def run(self):
        """Train until the first limit and return the last validation's dict, or the last loss where none is made.

        Raises:
            TrainingError: the loss is not finite, or a checkpoint cannot be written. Checkpoints stay.
            KeyboardInterrupt: the run was asked to stop, and has saved.
        """
        settings, result, recent, progress = self.settings, None, [], self._progress()
        begun = self.step
        bar = tqdm(
            total=settings.max_steps,
            initial=self.step,
            disable=self.rank != 0,
            unit="step",
            mininterval=1 if sys.stderr.isatty() else 30,
        )
        self.model.train()
        with bar, self._signals():
            if self.step:
                self._score_best_again()
            started = time.perf_counter()
            while progress < 1.0 and not self.stopped:
                recent.append(self.take_step(rate(progress, settings)))
                result, now = None, time.perf_counter()
                if not (settings.compile and self.step == begun + 1):  # the first step is spent on compiling
                    self.seconds += now - started
                started = now
                bar.update()
                progress = self._progress()
                if self.step % settings.log_every == 0:
                    self._report(bar, recent, progress)
                    recent.clear()
                if self.step % settings.validate_every == 0:
                    result = self._validate()
                    started = time.perf_counter()  # validation is not training
                if self._is_time_to_save():
                    self.save()
                    started = time.perf_counter()  # nor is saving
            self._batches = None  # its workers end
            if recent:
                self._report(bar, recent, progress)
            if self.stopped:
                self.save()
                raise KeyboardInterrupt
            result = result if result is not None else self._validate()
            self.save()
        if self.rank == 0:
            plot_log(self.folder / "log.jsonl", self.folder / "loss.png")
        return result or {"loss": self.loss}

    @contextlib.contextmanager
    def _signals(self):
        """Turn the first SIGTERM or SIGINT into a stop after the step; the second one acts as usual."""
        if self.world > 1 or threading.current_thread() is not threading.main_thread():
            yield  # one process alone must not leave the others waiting
            return

        def stop(*_):
            self.stopped = True
            restore()

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}

        def restore():
            for number, handler in before.items():
                signal.signal(number, handler)

        try:
            yield
        finally:
            restore()

    def take_step(self, share):
        """Take one optimiser step at ``share`` of the peak rate and return the loss, a tensor that is not yet read."""
        loss, norm = self.gradients(), self.update(share)
        sound = norm.isfinite()  # any other gradient has spoilt the weights
        if self.step <= self.settings.log_every:  # compiled, a loss may lose its gradient; later all may be learnt
            sound &= norm > 0
        return loss.where(sound, math.nan)

    def next_batch(self):
        """Return the tensors of the next batch, on the run's device."""
        settings = self.settings
        if self._batches is None:
            first, pin = self.step * settings.accumulation, self.device.type == "cuda"
            self._batches = read_ahead(self.data, first, self.rank, self.world, workers=settings.workers, pin=pin)
        return [tensor.to(self.device, non_blocking=True) for tensor in next(self._batches)]

    def gradients(self):
        """Sum the gradients of a step's batches and return the mean loss, a tensor that is not yet read."""
        settings, module, total = self.settings, self.module, 0.0
        for i in range(settings.accumulation):
            batch = self.next_batch()
            last = i == settings.accumulation - 1
            with module.no_sync() if self.world > 1 and not last else contextlib.nullcontext():
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                    loss = module(*batch) / settings.accumulation
                loss.backward()
            total = total + loss.detach()
        return total

    def update(self, share):
        """Move the weights at ``share`` of the peak rate and return the gradient's norm, a tensor."""
        settings = self.settings
        set_rate(self.optimizers, share)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if self.ema:
            decay = min(settings.ema, (1 + self.step) / (10 + self.step))  # the first weights are forgotten fast
            torch._foreach_lerp_(self.ema, [tensor.detach() for tensor in self._averaged_tensors()], 1 - decay)
        self.step += 1
        return norm

    def _report(self, bar, recent, progress):
        """Write the mean of the recent losses to the log and the bar; stop where it is not finite."""
        loss = torch.stack(recent).mean()
        if self.world > 1:
            torch.distributed.all_reduce(loss)
            loss /= self.world
        self.loss = loss = loss.item()
        if not math.isfinite(loss):
            text = f"the loss or its gradient is not finite, or the first gradients are 0, at step {self.step}"
            hint = "try a lower learning rate, or --no-compile"
            raise TrainingError(f"{text}; the last checkpoint is kept in {self.folder}; {hint}")
        tokens = self.data.tokens_per_step * self.settings.accumulation
        speed = tokens * self.step / max(self.seconds, 1e-9)
        left = self.seconds * (1 - progress) / max(progress, 1e-9)
        share = rate(progress, self.settings)
        self._log(loss=loss, seconds=round(self.seconds, 2), tokens=tokens * self.step, rate=share)
        bar.set_postfix_str(
            f"loss {loss:.4f}, {speed:,.0f} {self.data.unit}/s, {left / 60:.1f} min left", refresh=False
        )

    @contextlib.contextmanager
    def averaged(self):
        """Hold the averaged weights in the model for a while, where the run keeps them."""
        weights = self._averaged_tensors()
        if self.ema:
            live = [p.detach().clone() for p in weights]
            with torch.no_grad():
                torch._foreach_copy_(weights, self.ema)
        try:
            yield self.model
        finally:
            if self.ema:
                with torch.no_grad():
                    torch._foreach_copy_(weights, live)

    def _validate(self):
        """Score the model, log it, and keep its weights where they are the best so far."""
        if self.validate is None:
            return {}
        result = {}
        if self.rank == 0:
            with self.averaged():
                result = self._scores()
                self._log(**{f"valid_{name}": value for name, value in result.items()})
                tqdm.write(f"step {self.step}: " + ", ".join(f"{k} {v:.4f}" for k, v in result.items()))
                if result["loss"] < self.best:
                    self._keep_best({"model": self.model.state_dict(), "step": self.step, **result})
        if self.world > 1:
            torch.distributed.barrier()
        return result

    def _keep_best(self, state):
        self.best = state["loss"]
        save_state(self.folder / "best.pt", state)

    def _score_best_again(self):
        """Score the best weights of a run that goes on: its validation data may have grown with its corpus."""
        self.best = math.inf
        best = load_state(self.folder / "best.pt") if self.rank == 0 and self.validate else None
        if best is None:
            return
        live = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.model.load_state_dict(best["model"])
        self._keep_best({**best, **self._scores()})
        self.model.load_state_dict(live)

    def _scores(self):
        """Return the scores of the weights that the model holds."""
        self.model.eval()
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            result = self.validate(self.model)
        self.model.train()
        return result

    def _is_time_to_save(self):
        """Whether a checkpoint is due; only checked losses are saved."""
        settings = self.settings
        if settings.save_seconds is None:
            return self.step % settings.save_every == 0
        return self.step % settings.log_every == 0 and time.monotonic() - self._saved >= settings.save_seconds

    def save(self):
        """Write checkpoint.pt."""
        if self.rank == 0:
            save_state(self.folder / "checkpoint.pt", self._state())
        self._saved = time.monotonic()
