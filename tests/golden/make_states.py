#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes states.safetensors: the logits of the `rwkv` package for the models and states of tests/cli/adapters.py. Needs
PyTorch, rwkv and safetensors. usage: make_states.py BUILD"""
import os
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
os.environ.update(MICRORWKV_TEST_SOURCE=str(HERE.parent.parent), MICRORWKV_TEST_BUILD=sys.argv[1], RWKV_JIT_ON="0", RWKV_CUDA_ON="0")
sys.path.insert(0, str(HERE.parent / "cli"))
import importlib  # noqa: E402

import harness  # noqa: E402

harness.main = lambda: None
import adapters  # noqa: E402
import rwkv.model  # noqa: E402
import tiny  # noqa: E402
import torch  # noqa: E402

golden = {}
for family in ("rwkv5", "rwkv6", "rwkv7"):
    os.environ["RWKV_V7_ON"] = "1" if family == "rwkv7" else "0"
    importlib.reload(rwkv.model)
    with tempfile.TemporaryDirectory() as folder:
        plain, tensors = adapters.state_model(pathlib.Path(folder), family)
        state = {n: torch.tensor(x).reshape(s) for n, (_, s, x) in adapters.states(2, 2).items()}
        weights = {n: torch.tensor(list(x)).reshape(s) for n, (_, s, x) in tensors.items()}
        torch.save(weights if family == "rwkv7" else weights | state, f"{folder}/m.pth")
        model, past = rwkv.model.RWKV(model=f"{folder}/m", strategy="cpu fp32"), None
        if family == "rwkv7":  # which does not look for states itself, and has them as [head, value, key]
            past = model.generate_zero_state()
            for i in range(2):
                past[3 * i + 1] = state[f"blocks.{i}.att.time_state"].clone()
        rows = []
        for token in map(int, adapters.TOKENS.split(",")):
            out, past = model.forward([token], past)
            rows.append(out.float())
        golden[f"{family}.logits"] = "F32", [len(rows), 40], torch.stack(rows).flatten().tolist()
tiny.write_safetensors(HERE / "states.safetensors", golden)
