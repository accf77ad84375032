"""A plain DistributedDataParallel training: `torchrun ... ddp_training.py MODEL BATCHES CLASSES SETTINGS OUTPUT`.

Takes the batches of BATCHES/rank-<r>.pt, which are padded tensors in memory before the clock starts, so that it has no
reader to wait for. The rest is what a careful user writes: bf16 autocast, fused AdamW without decay on biases and
norms, a static graph with gradients as views of the buckets, clipping and a linear schedule. SETTINGS is JSON.
Writes to OUTPUT when each step of rank 0 ended, in seconds since the epoch, and prints their numbers.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from transformers import AutoModelForSequenceClassification


def main() -> None:
    """Train on every batch once."""
    directory, batches_at, classes, words, output = sys.argv[1:]
    settings = json.loads(words)
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    batches = torch.load(Path(batches_at, f"rank-{rank}.pt"))
    torch.manual_seed(17)
    model = AutoModelForSequenceClassification.from_pretrained(directory, num_labels=int(classes), dtype=torch.float32)
    if settings["freeze_embeddings"]:
        for module in model.modules():
            if isinstance(module, torch.nn.Embedding):
                module.requires_grad_(False)
    model.train()
    parameters = [item for item in model.parameters() if item.requires_grad]
    parallel = DistributedDataParallel(model, gradient_as_bucket_view=True, static_graph=True, broadcast_buffers=False)
    groups = [
        {"params": [item for item in parameters if item.ndim >= 2], "weight_decay": settings["weight_decay"]},
        {"params": [item for item in parameters if item.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings["learning_rate"], fused=True)
    warmup = max(1, round(len(batches) * settings["warmup_share"]))

    def share(step: int) -> float:
        return min((step + 1) / warmup, (len(batches) - step) / max(1, len(batches) - warmup))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    dist.barrier()
    ends = []
    for number, (ids, mask, labels, _rows) in enumerate(batches):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings["precision"] == "bf16"):
            loss = parallel(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        clip_grad_norm_(parameters, settings["clip_norm"])
        optimizer.step()
        schedule.step()
        ends.append(time.time())
        if rank == 0:
            sys.stdout.write(f"step {number}\n")
            sys.stdout.flush()
    if rank == 0:
        Path(output).write_text(json.dumps({"ends": ends, "loss": float(loss)}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
