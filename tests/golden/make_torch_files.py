#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes strides.pt: what torch.save writes for views, shared storages, parameters and every number format; and
old.pt, in the format before version 1.6, with what training scripts leave beside the weights. Needs PyTorch and numpy;
the files are kept beside this script, so that the tests do not."""
import argparse
import collections
import os
import pathlib

import numpy
import torch

base = torch.arange(60, dtype=torch.float32).reshape(5, 12)
tree = collections.OrderedDict()
tree["whole"] = base
tree["same"] = base
tree["transposed"] = base.t()
tree["columns"] = base[:, 3:7]
tree["every_second"] = base[1::2, ::3]
tree["row"] = base[2]
tree["permuted"] = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4).permute(2, 0, 1)
tree["expanded"] = torch.tensor([1.0, 2.0, 3.0]).expand(4, 3)
tree["parameter"] = torch.nn.Parameter(torch.ones(3), requires_grad=False)
tree["empty"] = torch.zeros(0, 7)
for dtype in ("float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool"):
    tree[dtype] = torch.arange(7).to(getattr(torch, dtype))
content = {
    "model": tree,
    "optimizer": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": base[:, 0]}},
                  "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.95), "fused": None, "params": [0, 1]}]},
    "iter_num": 2 ** 40,
    "negative": -5,
    "best_val_loss": torch.tensor(1.5),
    "text": "caf\u00e9",
    "nothing": {},
    "size": base.shape,
    "huge": 2 ** 70,
    "infinite": float("inf"),
}
folder = os.path.dirname(os.path.abspath(__file__))
torch.save(content, os.path.join(folder, "strides.pt"))

counted = torch.nn.Parameter(torch.arange(3.0))
counted.steps = 7
old = {
    "model": collections.OrderedDict(whole=base, same=base, transposed=base.t(), columns=base[:, 3:7], parameter=counted,
                                     half=torch.arange(7).half()),
    "complex": torch.complex(torch.ones(2), torch.ones(2)),
    "args": argparse.Namespace(lr=0.5, data=pathlib.PurePosixPath("/data"), dtype=torch.float16, device=torch.device("cuda", 1)),
    "curve": numpy.arange(5.0),
    "best": numpy.float32(1.5),
    "groups": collections.defaultdict(list, a=[1]),
}
torch.save(old, os.path.join(folder, "old.pt"), _use_new_zipfile_serialization=False)
