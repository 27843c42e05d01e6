"""One configuration and data set from the command line, C, Swift and Python: the same model file, byte for byte."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest
from support import CHECKOUT

import didact

SEED, LABELS, STEPS = 3, 40, 60
MODULES = CHECKOUT / ".build/dist/release"

C_PROGRAM = r"""
#include <didact.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(didact_status status) {
  if (status == DIDACT_OK) return;
  fprintf(stderr, "%s\n", didact_last_error_message());
  exit(1);
}

int main(int argc, char **argv) {
  (void)argc;
  didact_array images, classes;
  check(didact_dataset_digits(&images, &classes));
  int64_t rows = images.shape[0], train = 0;
  int64_t *parts = malloc(rows * sizeof *parts), *labels = malloc(rows * sizeof *labels);
  uint8_t *pixels = malloc(rows * 64);
  didact_array split = {parts, DIDACT_INT64, 1, &rows, NULL};
  check(didact_dataset_split(&split, &classes, 40, 0.25, 3));
  for (int64_t row = 0; row < rows; row++) {
    if (parts[row] == 2) continue;
    memcpy(pixels + train * 64, (uint8_t *)images.data + row * 64, 64);
    labels[train++] = parts[row] == 0 ? ((int64_t *)classes.data)[row] : -1;
  }
  const int64_t shape[] = {train, 64};
  didact_array x = {pixels, DIDACT_UINT8, 2, shape, NULL}, y = {labels, DIDACT_INT64, 1, shape, NULL};
  didact_trainer *trainer;
  check(didact_trainer_create(&trainer, argv[1]));
  check(didact_trainer_set_names(trainer, "class", argv[2]));
  check(didact_trainer_set_names(trainer, "feature", argv[3]));
  check(didact_trainer_fit(trainer, &x, &y, NULL, -1, NULL, NULL));
  check(didact_trainer_save(trainer, argv[4]));
  didact_trainer_free(trainer);
  free(parts), free(labels), free(pixels);
  return 0;
}
"""

SWIFT_PROGRAM = r"""
import Didact

let arguments = CommandLine.arguments
let data = try Dataset.digits().stratifiedSplit(seed: 3).keepingLabels(40, seed: 3)
let trainer = try Trainer(JSON(parsing: arguments[1]))
try trainer.setNames(.classes, from: JSON(parsing: arguments[2]))
try trainer.setNames(.features, from: JSON(parsing: arguments[3]))
try trainer.fit(data.features, data.labels)
try trainer.save(to: arguments[4])
"""


@pytest.fixture(scope="module")
def configuration():
    return {
        **didact.preset("digits", "meta_pseudo_labels", 64, 10),
        "seed": SEED,
        "steps": STEPS,
        "feedback": "loss_difference",
        "average_decay": 0.9,
        "average_warmup": "tensorflow",
        "finetune_steps": 5,
        "student_optimizer.schedule": "cosine",
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("same-bits")


@pytest.fixture(scope="module")
def from_python(configuration, folder):
    X, y = didact.datasets.load_digits()
    parts = didact.datasets.split(y, labels=LABELS, seed=SEED)
    train = np.sort(np.concatenate([parts.labeled, parts.unlabeled]))
    labels = np.full(len(y), -1)
    labels[parts.labeled] = y[parts.labeled]
    trainer = didact.Trainer(**configuration)
    names = didact.Trainer.load(_train_by_command(configuration, folder))
    trainer.class_names, trainer.feature_names = names.class_names, names.feature_names
    trainer.fit(X[train], labels[train]).save(folder / "python.safetensors")
    return trainer, (folder / "python.safetensors").read_bytes()


def _train_by_command(configuration, folder):
    model = folder / "command.safetensors"
    if not model.exists():
        file = folder / "configuration.json"
        # What the data decides is left to it; the rest is given by file.
        file.write_text(json.dumps({key: value for key, value in configuration.items() if key != "network"}))
        subprocess.run(
            [CHECKOUT / "build/bin/didact", "train", "--data", "digits", "--labels", str(LABELS)]
            + ["--config", file, "--model", model],
            check=True,
            capture_output=True,
        )
    return model


def _arguments(configuration, trainer, model):
    return [json.dumps(configuration), json.dumps(trainer.class_names), json.dumps(trainer.feature_names), str(model)]


def test_the_command_line(configuration, folder, from_python):
    assert _train_by_command(configuration, folder).read_bytes() == from_python[1]


def test_c(configuration, folder, from_python):
    source, program = folder / "program.c", folder / "c-program"
    source.write_text(C_PROGRAM)
    libraries = CHECKOUT / "build/lib"
    subprocess.run(
        ["cc", source, "-o", program, f"-I{CHECKOUT / 'build/include'}", f"-L{libraries}", "-ldidact"]
        + [f"-Wl,-rpath,{libraries}"],
        check=True,
    )
    model = folder / "c.safetensors"
    subprocess.run([program, *_arguments(configuration, from_python[0], model)], check=True)
    assert model.read_bytes() == from_python[1]


@pytest.mark.skipif(not (MODULES / "Modules/Didact.swiftmodule").exists(), reason="no build of the Swift module")
def test_swift(configuration, folder, from_python):
    assert shutil.which("swiftc")
    source, program = folder / "main.swift", folder / "swift-program"
    source.write_text(SWIFT_PROGRAM)
    objects = [
        MODULES / f"{target}.build" / f"{file.name}.o"
        for target in ("Didact", "CImages", "CKernels", "CPlatform")
        for file in (CHECKOUT / "Sources" / target).rglob("*.*")
        if file.suffix in (".swift", ".c")
    ]
    module_maps = [MODULES / f"{target}.build/module.modulemap" for target in ("CImages", "CKernels", "CPlatform")]
    module_maps.append(CHECKOUT / "Sources/CZlib/module.modulemap")
    subprocess.run(
        ["swiftc", source, "-o", program, "-I", MODULES / "Modules", "-static-stdlib"]
        + [word for path in module_maps for word in ("-Xcc", f"-fmodule-map-file={path}")]
        + [*objects, "-ldnnl", "-lgomp", "-lm", "-lpng16", "-lturbojpeg", "-lz"],
        check=True,
    )
    model = folder / "swift.safetensors"
    subprocess.run([program, *_arguments(configuration, from_python[0], model)], check=True)
    assert model.read_bytes() == from_python[1]
