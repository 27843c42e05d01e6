"""The command `didact`, from outside: exit codes, files, and what it prints."""

import csv
import io
import json
import os
import pickle
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from support import tried

ROOT = Path(__file__).resolve().parents[3]
COMMAND = os.environ.get("DIDACT_COMMAND", str(ROOT / "build" / "bin" / "didact"))

if not os.access(COMMAND, os.X_OK):
    raise FileNotFoundError(f"no command at {COMMAND}: run scripts/build or set DIDACT_COMMAND")


def didact(*arguments, code=0, timeout=120):
    """Runs the command, checks its exit code, and returns what it wrote."""
    result = subprocess.run(
        [COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout
    )
    assert result.returncode == code, f"{result.stdout}\n{result.stderr}"
    return result


def failure(*arguments, code):
    """The message of a command that fails: one line on standard error."""
    lines = didact(*arguments, code=code).stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("didact: error: "), lines
    return lines[0]


def tensors(path):
    """The tensors of a safetensors file, as bytes."""
    data = Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__")
    start = 8 + length
    return {
        name: data[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]]
        for name, entry in header.items()
    }


def write_table(path, names=("width", "height"), rows=60, labeled=True, label="kind", order=None):
    """Two blobs, `red` and `blue`, as CSV; every third row has a label."""
    random = np.random.default_rng(0)
    lines = []
    for row in range(rows):
        center = 2.0 if row % 2 else -2.0
        cells = dict(zip(names, random.normal(center, 0.3, size=len(names))))
        cells[label] = ("blue" if row % 2 else "red") if row % 3 == 0 else ""
        lines.append(cells)
    columns = list(order or names) + ([label] if labeled else [])
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(lines)
    return path


@pytest.fixture(scope="module")
def table_model(tmp_path_factory):
    """A table and a model trained on it."""
    directory = tmp_path_factory.mktemp("table")
    table = write_table(directory / "table.csv")
    model = directory / "model.safetensors"
    didact("train", "--data", table, "--label-column", "kind", "--steps", 100, "--hidden", "8", "--model", model)
    return table, model


@pytest.fixture(scope="module")
def digits_model(tmp_path_factory):
    model = tmp_path_factory.mktemp("digits") / "model.safetensors"
    didact("train", "--data", "digits", "--labels", 40, "--steps", 30, "--seed", 100, "--model", model)
    return model


# --- help and information -------------------------------------------------------------------------------------------


def test_version_and_help():
    version = didact("--version").stdout.strip()
    assert version == (ROOT / "VERSION").read_text().strip()
    for command in ([], ["train"], ["predict"], ["evaluate"], ["gradcheck"], ["smoke"], ["info"]):
        text = didact(*command, "--help").stdout
        assert "didact train" in text or "USAGE: didact" in text
    for command in (["train"], ["predict"], ["evaluate"], ["gradcheck"], ["info"]):
        assert "EXAMPLES" in didact(*command, "--help").stdout


def test_info_lists_the_methods_and_their_keys():
    information = json.loads(didact("info", "--json").stdout)
    assert {"meta_pseudo_labels", "supervised"} <= set(information["methods"])
    assert information["cores"] >= 1
    for method in information["methods"]:
        fields = json.loads(didact("info", "--method", method, "--json").stdout)["fields"]
        assert {"key", "accepts", "default", "meaning", "source"} == set(fields[0])
        text = didact("info", "--method", method).stdout
        assert all(f"{field['key']}: {field['accepts']}" in text for field in fields)


def test_info_says_what_the_default_is():
    first, *rest = didact("info", "--method", "auto").stdout.splitlines()
    assert first.startswith("auto is meta_pseudo_labels, of tables with") and first.count('"supervised"') == 2
    assert rest[1:] == didact("info", "--method", "meta_pseudo_labels").stdout.splitlines()


# --- wrong usage ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["train"], "--data"),
        (["trian", "--data", "digits"], "trian"),
        (["train", "--data", "digts"], 'Did you mean "digits"'),
        (["train", "--data", "digits", "--method", "supervized"], 'Did you mean "supervised"'),
        (["train", "--data", "digits", "--set", "uda_wieght=2"], 'Did you mean "uda_weight"'),
        (["train", "--data", "digits", "--set", "student_optimizer.momentun=2"], "student_optimizer.momentum"),
        (["train", "--data", "digits", "--set", "uda_weight=-1"], "uda_weight"),
        (["train", "--data", "digits", "--set", "uda_weight"], "key=value"),
        (["train", "--data", "digits", "--hidden", "12,x"], "--hidden"),
        (["train", "--data", "digits", "--seed", "-1"], "seed"),
        (["train", "--data", "digits", "--seed", "1", "--set", "seed=2"], "given twice"),
        (["train", "--data", "digits", "--dtype", "float16"], "float64"),
        (["train", "--data", "digits", "--label-column", "y"], "--label-column"),
        (["info", "--method", "mata_pseudo_labels"], 'Did you mean "meta_pseudo_labels"'),
        (["gradcheck", "--feedback", "exat"], 'Did you mean "exact"'),
        (["predict", "--data", "digits"], "--model"),
    ],
)
def test_wrong_usage_is_64_and_says_what_to_do(arguments, expected):
    assert expected in failure(*arguments, code=64)


def test_bad_configuration_files(tmp_path):
    file = tmp_path / "configuration.json"
    file.write_text('{"steps": 5, "steps": 6}')
    assert str(file) in failure("train", "--data", "digits", "--config", file, code=64)
    file.write_text("[1]")
    assert "object" in failure("train", "--data", "digits", "--config", file, code=64)
    assert "missing.json" in failure("train", "--data", "digits", "--config", tmp_path / "missing.json", code=1)


# --- bad data -------------------------------------------------------------------------------------------------------


def test_more_labels_than_there_are():
    message = failure("train", "--data", "digits", "--labels", 5000, code=1)
    assert "5000" in message and "only" in message


def test_a_bad_cell_names_its_line(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("width,height,label\n1,2,a\n3,tall,b\n")
    message = failure("train", "--data", table, code=1)
    assert str(table) in message and "line 3" in message and "height" in message and "tall" in message
    table.write_text("width,height,label\n1,2,a\n3,b\n")
    assert "line 3" in failure("train", "--data", table, code=1)


def test_files_that_are_not_there(tmp_path):
    assert "none.csv" in failure("train", "--data", tmp_path / "none.csv", code=1)
    assert "none.safetensors" in failure(
        "predict", "--model", tmp_path / "none.safetensors", "--data", "digits", code=1
    )
    target = tmp_path / "none" / "model.safetensors"
    assert str(target) in failure("train", "--data", "two-moons", "--model", target, code=1)


def test_a_table_without_labels(tmp_path):
    table = write_table(tmp_path / "table.csv", labeled=False)
    assert "--label-column" in failure("train", "--data", table, code=1)


def test_divergence_names_step_and_term(tmp_path):
    model = tmp_path / "model.safetensors"
    message = failure(
        "train", "--data", "two-moons", "--labels", 6, "--model", model, "--set", "student_optimizer.learning_rate=1e30",
        code=1,
    )
    assert "step" in message and "loss" in message and not model.exists()


# --- training -------------------------------------------------------------------------------------------------------


def test_json_lines():
    arguments = ["train", "--data", "two-moons", "--labels", 6, "--steps", 200, "--seed", 100, "--json"]
    result = didact(*arguments, "--set", "average_decay=0.9")
    assert result.stderr == ""
    *progress, last = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["step"] for line in progress] == list(range(2, 201, 2))
    assert {"loss/student", "loss/feedback", "gradient_norm/uda", "learning_rate/teacher"} <= set(progress[0])
    result = last["result"]
    assert result["steps"] == 200 and result["method"] == "meta_pseudo_labels" and not result["interrupted"]
    assert result["test"]["rows"] == 2000 and result["test"]["predictor"] == "average"
    assert all(0 <= result["test"][role] <= 1 for role in ("accuracy", "student", "teacher", "average"))


def test_plain_output_reports_every_network(tmp_path):
    model = tmp_path / "model.safetensors"
    arguments = ["train", "--data", "two-moons", "--labels", 6, "--steps", 20, "--model", model]
    result = didact(*arguments)
    assert "accuracy on 2000 test rows" in result.stdout and "by the teacher" in result.stdout
    assert str(model) in result.stdout
    assert len(result.stderr.splitlines()) == 10


def test_options_win_over_the_file_and_the_file_over_the_preset(tmp_path):
    file = tmp_path / "configuration.json"
    file.write_text(
        json.dumps(
            {
                "steps": 4,
                "method": "supervised",
                "student_optimizer": {"learning_rate": 0.25, "momentum": 0.5},
                "network": {"hidden": [5], "activation": "tanh"},
            }
        )
    )
    model = tmp_path / "model.safetensors"
    didact(
        "train", "--data", "two-moons", "--labels", 6, "--config", file, "--model", model, "--steps", 3,
        "--set", "student_optimizer.momentum=0.125", "--hidden", "7,6",
    )
    data = model.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    description = json.loads(header["__metadata__"]["didact.description"])
    configuration = description["configuration"]
    assert description["steps"] == 3 and configuration["steps"] == 3
    assert configuration["student_optimizer.learning_rate"] == 0.25
    assert configuration["student_optimizer.momentum"] == 0.125
    assert configuration["input_scaling"] == "none"
    assert configuration["network"]["hidden"] == [7, 6] and configuration["network"]["activation"] == "tanh"
    assert description["class_names"] == ["0", "1"] and description["feature_names"] == ["x", "y"]


@pytest.mark.parametrize("method", ["meta_pseudo_labels", "mean_teacher"])
def test_tables_start_from_the_preset_for_their_columns(tmp_path, method):
    import didact as package

    names = ["a", "b", "c"]
    table, model = write_table(tmp_path / "table.csv", names=names), tmp_path / "model.safetensors"
    didact("train", "--data", table, "--label-column", "kind", "--method", method, "--steps", 3, "--model", model)
    data = model.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    configuration = json.loads(header["__metadata__"]["didact.description"])["configuration"]
    expected = {**package.preset("table", method, 3, 2), "steps": 3}
    network = expected.pop("network")
    assert configuration["strong_noise"] < package.preset("table", method, 4, 2)["strong_noise"]
    assert {key: configuration[key] for key in expected if key != "method"} == {
        key: value for key, value in expected.items() if key != "method"
    }
    assert {key: configuration["network"][key] for key in network} == network


def test_training_is_reproducible_and_seeds_differ(tmp_path):
    def train(name, seed):
        path = tmp_path / name
        arguments = ["--data", "two-moons", "--labels", 6, "--steps", 20, "--seed", seed, "--model", path]
        didact("train", *arguments)
        return tensors(path)

    first = train("a", 1)
    assert first == train("b", 1)
    assert first["student.dense0.weight"] != train("c", 2)["student.dense0.weight"]


def test_npz_with_a_test_part(tmp_path):
    random = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = random.normal(size=(40, 3)) + 4.0 * y[:, None]
    file = tmp_path / "data.npz"
    np.savez(
        file, X=x[:30], y=np.where(np.arange(30) < 10, y[:30], -1), X_unlabeled=x[:5], X_test=x[30:], y_test=y[30:]
    )
    model = tmp_path / "model.safetensors"
    lines = didact("train", "--data", file, "--steps", 200, "--json", "--model", model).stdout.splitlines()
    test = json.loads(lines[-1])["result"]["test"]
    assert test["rows"] == 10 and test["accuracy"] >= 0.9
    evaluation = json.loads(didact("evaluate", "--model", model, "--data", file, "--json").stdout)
    assert evaluation["accuracy"] == test["accuracy"]


# --- resuming and interruption --------------------------------------------------------------------------------------


def test_resuming_equals_going_on(tmp_path):
    data = ["--data", "digits", "--labels", 40]
    whole, half, resumed = (tmp_path / f"{name}.safetensors" for name in ("whole", "half", "resumed"))
    more = ["--seed", 100, "--set", "average_decay=0.9", "--set", "network.dropout=0.1"]
    didact("train", *data, *more, "--steps", 30, "--model", whole)
    didact("train", *data, *more, "--steps", 13, "--model", half)
    didact("train", *data, "--resume", half, "--steps", 30, "--model", resumed)
    assert tensors(whole) == tensors(resumed)
    assert tensors(whole) != tensors(half)


def test_what_does_not_go_with_resuming(tmp_path, digits_model):
    resume = ["train", "--resume", digits_model, "--labels", 40, "--data"]
    assert "30 of 30" in failure(*resume, "digits", code=64)
    assert "--set" in failure(*resume, "digits", "--steps", 40, "--set", "uda_weight=2", code=64)
    assert "seed 100" in failure(*resume, "digits", "--steps", 40, "--seed", 1, code=64)
    assert "supervised" in failure(*resume, "digits", "--steps", 40, "--method", "supervised", code=64)
    assert "columns" in failure(*resume, "two-moons", "--steps", 40, code=1)


def test_resuming_finds_columns_by_name(tmp_path, table_model):
    table, model = table_model
    swapped = write_table(tmp_path / "swapped.csv", names=("width", "height"), order=["height", "width"])
    resumed = {}
    for name, data in (("same", table), ("swapped", swapped)):
        resumed[name] = tmp_path / f"{name}.safetensors"
        didact("train", "--resume", model, "--data", data, "--steps", 120, "--model", resumed[name])
    assert tensors(resumed["same"]) == tensors(resumed["swapped"])


# Ctrl-C; schedulers and `docker stop`; a terminal that is closed.
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_interruption_leaves_a_checkpoint(tmp_path, number):
    data, small = ["--data", "two-moons", "--labels", "6"], ["--hidden", "4", "--set", "unlabeled_batch_size=8"]
    model, resumed, whole = (tmp_path / f"{name}.safetensors" for name in ("model", "resumed", "whole"))
    process = subprocess.Popen(
        [COMMAND, "train", *data, *small, "--steps", "1000000", "--model", str(model), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # These tests themselves may run under nohup.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    try:
        # Long enough to be at work, on a slow machine too; far from done.
        time.sleep(1.5)
        assert process.poll() is None
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 128 + number, errors
    assert str(model) in errors and "--resume" in errors and len(errors.splitlines()) == 1
    result = json.loads(output.splitlines()[-1])["result"]
    steps = result["steps"]
    assert result["interrupted"] and 0 < steps < 1_000_000
    didact("train", *data, "--resume", model, "--steps", steps + 10, "--model", resumed)
    didact("train", *data, *small, "--steps", steps + 10, "--model", whole)
    assert tensors(resumed) == tensors(whole)


def test_data_that_become_shorter_end_the_training_and_leave_the_model(tmp_path):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(300, 2)), np.where(np.arange(300) < 20, np.arange(300) % 2, -1)
    rows, labels, model = tmp_path / "rows.npy", tmp_path / "labels.npy", tmp_path / "model.safetensors"
    np.save(rows, x)
    np.save(labels, y)
    data = ["--data", str(rows), "--label-file", str(labels), "--model", str(model)]
    process = subprocess.Popen(
        [COMMAND, "train", *data, "--steps", "1000000", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        # It is at work when it reports.
        process.stdout.readline()
        os.truncate(rows, 1000)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1
    assert f"{rows}: it was written to while it was read" in errors and f"Wrote {model}, as after step" in errors
    steps = int(errors.split("as after step ")[1])
    np.save(rows, x)
    didact("train", *data, "--resume", model, "--steps", steps + 1)


def test_a_second_signal_ends_the_process(tmp_path):
    model = tmp_path / "model.safetensors"
    process = subprocess.Popen(
        # In float64 the first step takes half a minute, so that no signal finds it over.
        [COMMAND, "train", "--data", "digits", "--network", "wide-resnet-28-2", "--steps", "5", "--model", str(model),
         "--dtype", "float64"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        time.sleep(1.5)
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        process.communicate(timeout=5)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGTERM and not model.exists()


def test_sighup_under_nohup_is_ignored(tmp_path):
    model = tmp_path / "model.safetensors"
    process = subprocess.Popen(
        ["nohup", COMMAND, "train", "--data", "two-moons", "--labels", "6", "--steps", "2000", "--model", str(model)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    time.sleep(0.5)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 0 and model.exists()


def test_names_of_files_that_are_no_utf8_are_refused(tmp_path):
    """Repaired, two of them were one, and a third file was overwritten."""
    data = tmp_path / "rows.csv"
    data.write_text("x0,x1\n1,2\n3,4\n")
    other = tmp_path / "o\ufffd.csv"
    other.write_text("keep")
    model = tmp_path / "model.safetensors"
    didact("train", "--data", "two-moons", "--labels", "6", "--steps", "1", "--model", model)
    output = os.fsencode(tmp_path) + b"/o\xfd.csv"
    result = subprocess.run([COMMAND, "predict", "--model", model, "--data", data, "--output", output], capture_output=True, timeout=60)
    assert result.returncode == 64 and b"argument 7" in result.stderr and b"is not UTF-8" in result.stderr
    assert other.read_text() == "keep"


@pytest.mark.parametrize("report", ["--json", "--set=seed=0"])
@pytest.mark.parametrize("sink", ["closed", "full"])
def test_reports_that_cannot_be_written_cost_no_model(tmp_path, sink, report):
    model, whole = tmp_path / "model.safetensors", tmp_path / "whole.safetensors"
    train = ["train", "--data", "two-moons", "--labels", "6", "--steps", "300", report, "--model"]
    if sink == "full":
        if not os.path.exists("/dev/full"):
            pytest.skip("there is no /dev/full")
        with open("/dev/full", "wb") as full:
            process = subprocess.Popen([COMMAND, *train, str(model)], stdout=full, stderr=subprocess.PIPE, text=True)
    else:
        process = subprocess.Popen([COMMAND, *train, str(model)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(60) == 1
    assert "could not write to standard output" in errors and f"Wrote {model}, as after step 300" in errors
    didact(*train, whole)
    assert tensors(model) == tensors(whole)
    # Where there is no model to keep, there is no use in going on.
    if sink == "full":
        with open("/dev/full", "wb") as full:
            process = subprocess.run([COMMAND, *train[:-1], "--steps", "1000000"], stdout=full, stderr=subprocess.PIPE, timeout=30)
        assert process.returncode == 1


def test_a_file_that_may_not_become_longer_is_an_error(tmp_path):
    """The signal that says so ended the process without a word, and left a part of the file."""
    model = tmp_path / "model.safetensors"
    limited = f"ulimit -f 4; exec {COMMAND} train --data two-moons --labels 6 --steps 5 --model {model}"
    result = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and f"could not write {model}: File too large" in result.stderr
    assert os.listdir(tmp_path) == []


def test_a_save_that_is_killed_leaves_nothing(tmp_path):
    """Whenever it comes."""
    model = tmp_path / "model.safetensors"
    network = ["--data", "two-moons", "--labels", "6", "--steps", "1", "--set", "unlabeled_batch_size=2", "--hidden", "2000,2000"]
    start = time.monotonic()
    didact("train", *network, "--model", model)
    length = time.monotonic() - start
    model.unlink()
    for part in np.linspace(0.5, 1, 12):
        process = subprocess.Popen(
            [COMMAND, "train", *network, "--model", str(model)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(part * length)
        process.kill()
        process.wait()
        assert os.listdir(tmp_path) in ([], [model.name])
        model.unlink(missing_ok=True)


def test_a_model_and_predictions_go_through_pipes(tmp_path, table_model):
    table, model = table_model
    predict = [COMMAND, "predict", "--model", str(model), "--data", str(table), "--label-column", "kind"]
    expected = subprocess.run(predict, capture_output=True, check=True).stdout
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen([*predict, "--output", str(pipe)])
    # The reader comes late.
    time.sleep(0.3)
    assert pipe.read_bytes() == expected and process.wait(30) == 0
    trained = subprocess.Popen(
        [COMMAND, "train", "--data", "two-moons", "--labels", "6", "--steps", "5", "--hidden", "300,300", "--model", str(pipe)],
        stdout=subprocess.DEVNULL,
    )
    with open(pipe, "rb") as reader:
        data = bytearray()
        while block := reader.read(10_000):
            data += block
            time.sleep(0.001)
    assert trained.wait(30) == 0 and len(data) > 1 << 20
    (tmp_path / "model.safetensors").write_bytes(data)
    didact("predict", "--model", tmp_path / "model.safetensors", "--data", "two-moons")


def test_names_with_accents_behind_signs_of_a_syntax(tmp_path):
    """To Swift a quote with an accent behind it is one character, and no quote."""
    accent = "\u0301"
    folder = tmp_path / f"it's'{accent}"
    folder.mkdir()
    table, model = folder / "t.csv", folder / "m.safetensors"
    names = ['a"' + accent, "b," + accent]
    rows = [f"{row % 5},{row % 3},{'xy'[row % 2]}" for row in range(30)]
    table.write_text("\n".join(['u,v,"k"', *rows]))
    table.write_text(table.read_text().replace(",x", ',"' + names[0].replace('"', '""') + '"').replace(",y", f',"{names[1]}"'))
    process = subprocess.Popen(
        [COMMAND, "train", "--data", str(table), "--label-column", "k", "--steps", "1000000", "--model", str(model)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    errors = process.communicate(timeout=30)[1]
    # What it prints can be pasted.
    command = errors.split("Go on with: ")[1].strip().replace("didact train", f"{COMMAND} train", 1)
    steps = int(errors.split("interrupted after step ")[1].split(" ")[0])
    command = command.replace("--steps 1000000", f"--steps {steps + 3}")
    subprocess.run(["bash", "-c", command], check=True, capture_output=True, timeout=60)
    header, predicted = read_predictions(didact("predict", "--model", model, "--data", table, "--ignore", "k").stdout)
    assert header == ["label", *(f"probability.{name}" for name in sorted(names))]
    assert {row[0] for row in predicted} <= set(names) and {len(row) for row in predicted} == {3}


def test_kills_at_random_moments_of_a_training_that_checkpoints(tmp_path):
    """DIDACT_KILLS says how many; scripts/nightly has 100."""
    data = ["--data", "two-moons", "--labels", "6"]
    small = ["--hidden", "64,64", "--set", "unlabeled_batch_size=128"]
    model, whole = tmp_path / "model.safetensors", tmp_path / "whole.safetensors"
    kills, source = int(os.environ.get("DIDACT_KILLS", "5")), np.random.default_rng(0)
    steps = str(8000 * kills)
    train = [COMMAND, "train", *data, "--checkpoint-seconds", "0.1", "--model", str(model)]
    resumptions = 0
    for _ in range(kills):
        go_on = ["--resume", str(model)] if model.exists() else [*small, "--steps", steps]
        process = subprocess.Popen([*train, *go_on], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(source.uniform(0.2, 0.8))
        ended = process.poll()
        process.kill()
        errors = process.communicate()[1].decode()
        assert ended is None, errors
        assert os.listdir(tmp_path) in ([], [model.name])
        resumptions += model.exists()
    assert resumptions > kills // 2
    # The end of what was saved last, and a run that nobody killed.
    resume = ["--resume", model, "--checkpoint-seconds", 0, "--model", model, "--json", "--steps", steps]
    trained = didact("train", *data, *resume, timeout=3600)
    assert json.loads(trained.stdout.splitlines()[-1])["result"]["steps"] == int(steps)
    didact("train", *data, *small, "--steps", steps, "--model", whole, timeout=3600)
    assert tensors(model) == tensors(whole)
    tried("kills of a training that checkpoints", kills)


# --- predicting and evaluating --------------------------------------------------------------------------------------


def read_predictions(text):
    rows = list(csv.reader(io.StringIO(text)))
    return rows[0], rows[1:]


def test_predictions(tmp_path, table_model):
    table, model = table_model
    output = tmp_path / "predictions.csv"
    result = didact("predict", "--model", model, "--data", table, "--label-column", "kind", "--output", output)
    assert result.stdout == ""
    header, rows = read_predictions(output.read_text())
    assert header == ["label", "probability.blue", "probability.red"]
    assert [row[0] for row in rows] == ["red", "blue"] * 30
    for row in rows:
        probabilities = [float(cell) for cell in row[1:]]
        assert abs(sum(probabilities) - 1) < 1e-5
        assert row[0] == ["blue", "red"][int(np.argmax(probabilities))]
    same = didact("predict", "--model", model, "--data", table, "--label-column", "kind").stdout
    assert same == output.read_text()
    assert list(tmp_path.iterdir()) == [output], "no temporary file is left"


def test_columns_are_found_by_name(tmp_path, table_model):
    table, model = table_model
    expected = didact("predict", "--model", model, "--data", table, "--label-column", "kind").stdout
    swapped = write_table(tmp_path / "swapped.csv", labeled=False, order=["height", "width"])
    assert didact("predict", "--model", model, "--data", swapped).stdout == expected
    labeled = write_table(tmp_path / "labeled.csv", label="label")
    assert didact("predict", "--model", model, "--data", labeled).stdout == expected
    missing = write_table(tmp_path / "missing.csv", names=("width", "hight"), labeled=False)
    message = failure("predict", "--model", model, "--data", missing, code=1)
    assert '"height"' in message and '"hight"' in message
    extra = write_table(tmp_path / "extra.csv", names=("width", "height", "depth"), labeled=False)
    assert '"depth"' in failure("predict", "--model", model, "--data", extra, code=1)
    assert "64 columns" in failure("predict", "--model", model, "--data", "digits", code=1)


def test_tables_without_a_header_match_by_position(tmp_path, table_model):
    table, model = table_model
    expected = didact("predict", "--model", model, "--data", table, "--label-column", "kind").stdout
    lines = write_table(tmp_path / "named.csv", labeled=False).read_text().splitlines()
    bare = tmp_path / "bare.csv"
    bare.write_text("\n".join(lines[1:]) + "\n")
    assert didact("predict", "--model", model, "--data", bare).stdout == expected
    bare.write_text("1,2,3\n")
    assert "3 columns" in failure("predict", "--model", model, "--data", bare, code=1)


# --- tables with categories and missing values ------------------------------------------------------------------------


def write_mixed_table(path, rows=90, labels=True):
    """Colour and size tell the class `hot` from `cold`; both are missing here and there, never both."""
    random = np.random.default_rng(1)
    lines = []
    for row in range(rows):
        hot = row % 2 == 1
        colour = random.choice(["red", "orange"] if hot else ["blue", "light, blue"])
        size = f"{random.normal(3 if hot else -3, 0.5):.3f}"
        if row % 9 == 4:
            colour = random.choice(["", "NA", "?"])
        elif row % 9 == 7:
            size = random.choice(["", "NaN", "null"])
        label = ("hot" if hot else "cold") if row % 3 == 0 else ""
        lines.append([row, colour, size, row % 5] + ([label] if labels else []))
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "colour", "size", "shop"] + (["kind"] if labels else []))
        writer.writerows(lines)
    return path


MIXED = ["--label-column", "kind", "--ignore", "id", "--categorical", "shop"]


@pytest.fixture(scope="module")
def mixed_model(tmp_path_factory):
    """A table with everything in it, and a model trained on it."""
    directory = tmp_path_factory.mktemp("mixed")
    table, model = write_mixed_table(directory / "table.csv"), directory / "model.safetensors"
    result = didact("train", "--data", table, *MIXED, "--steps", 100, "--hidden", 8, "--model", model)
    assert "colour (5), shop (5)" in result.stdout and "11 columns" in result.stdout
    return table, model


def description_of(model):
    data = Path(model).read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"]["didact.description"])


def test_a_model_keeps_what_it_learned_of_a_table(mixed_model):
    table, model = mixed_model
    with open(table, newline="") as file:
        sizes = [row["size"] for row in csv.DictReader(file)]
    description = description_of(model)
    colour, size, shop = description["table"]["columns"]
    assert colour == {"name": "colour", "categories": ["", "blue", "light, blue", "orange", "red"]}
    assert size["name"] == "size"
    assert abs(size["mean"] - np.mean([float(text) for text in sizes if text not in ("", "NaN", "null")])) < 1e-12
    assert shop == {"name": "shop", "categories": ["0", "1", "2", "3", "4"]}
    assert description["table"]["label"] == "kind" and description["table"]["ignored"] == ["id"]
    assert description["feature_names"][:6] == [f"colour={name}" for name in colour["categories"]] + ["size"]


def test_predictions_and_evaluation_need_the_table_alone(tmp_path, mixed_model):
    table, model = mixed_model
    result = json.loads(didact("evaluate", "--model", model, "--data", table, "--json").stdout)
    assert result["rows"] == 30 and result["accuracy"] == 1
    output = didact("predict", "--model", model, "--data", table)
    assert output.stderr == ""
    header, rows = read_predictions(output.stdout)
    assert header == ["label", "probability.cold", "probability.hot"]
    assert [row[0] for row in rows] == ["cold", "hot"] * 45
    # Other columns, in another order, with another line end and a byte order mark.
    with open(table, newline="") as file:
        content = list(csv.DictReader(file))
    other = tmp_path / "other.csv"
    with open(other, "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, ["note", "size", "shop", "colour"], extrasaction="ignore", lineterminator="\r\n")
        writer.writeheader()
        writer.writerows({**row, "note": "x"} for row in content)
    assert didact("predict", "--model", model, "--data", other, "--ignore", "note").stdout == output.stdout
    assert '"note"' in failure("predict", "--model", model, "--data", other, code=1)


def test_an_unseen_category_is_none_with_a_warning(tmp_path, mixed_model):
    _, model = mixed_model
    table = tmp_path / "table.csv"
    table.write_text("colour,size,shop\ngreen,3,1\nred,,2\npink,-3,9\n")
    result = didact("predict", "--model", model, "--data", table)
    assert [row[0] for row in read_predictions(result.stdout)[1]] == ["hot", "hot", "cold"]
    colour, shop = result.stderr.splitlines()
    assert 'column "colour" has 2 cells' in colour and '"green", line 2' in colour and str(table) in colour
    assert 'column "shop" has 1 cell ' in shop and '"9", line 4' in shop


def test_rows_that_stay_in_their_file(tmp_path):
    classes = np.arange(120) % 2
    X = np.random.default_rng(0).normal(size=(120, 3)) + classes[:, None]
    y = np.where(np.arange(len(X)) < 8, classes, -1)
    features, labels, archive = tmp_path / "X.npy", tmp_path / "y.npy", tmp_path / "both.npz"
    np.save(features, X.astype(np.float32))
    np.save(labels, y)
    np.savez(archive, X=X.astype(np.float32), y=y)
    train = ["train", "--method", "uda", "--steps", 20]
    didact(*train, "--data", features, "--label-file", labels, "--model", tmp_path / "a.safetensors")
    didact(*train, "--data", archive, "--model", tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    predict = ["predict", "--model", tmp_path / "a.safetensors", "--data"]
    assert didact(*predict, features).stdout == didact(*predict, archive).stdout
    evaluate = ["evaluate", "--model", tmp_path / "a.safetensors", "--data", features]
    assert didact(*evaluate, "--label-file", labels).stdout.splitlines()[0]
    assert "--label-file" in failure(*evaluate, code=1)
    assert "no labels" in failure(*train, "--data", features, code=1)
    assert "--label-file" in failure(*train, "--data", archive, "--label-file", labels, code=64)
    np.save(labels, y[:-1])
    assert "119 labels for 120 rows" in failure(*train, "--data", features, "--label-file", labels, code=1)
    np.save(features, np.array(["a", "b"]))
    assert "text" in failure(*train, "--data", features, "--label-file", labels, code=1)


def test_distributions_for_a_smaller_student(tmp_path):
    teacher, stored, student = (tmp_path / name for name in ("teacher.st", "stored.st", "student.st"))
    didact("train", "--data", "digits", "--labels", 100, "--method", "supervised", "--steps", 50, "--model", teacher)
    didact("predict", "--model", teacher, "--data", "digits", "--distributions", stored)
    reduced = ["train", "--data", "digits", "--labels", 100, "--method", "reduced_meta_pseudo_labels", "--steps", 50]
    result = didact(*reduced, "--set", f"teacher_distributions={stored}", "--hidden", 16, "--model", student)
    assert "student" in result.stdout
    assert "teacher_distributions" in failure(*reduced, code=64)
    assert "other rows" in failure(*reduced, "--seed", 1, "--set", f"teacher_distributions={stored}", code=1)
    assert "--output" in failure(
        "predict", "--model", teacher, "--data", "digits", "--distributions", stored, "--output", student, code=64
    )


def test_labels_that_say_none(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("x,label\n1,0\n2,1\n3,?\n4,NA\n" + "5,\n6,1\n" * 2)
    train = ["train", "--method", "supervised", "--steps", 2, "--data", table, "--model", tmp_path / "model.didact"]
    result = didact(*train)
    (warning,) = [line for line in result.stderr.splitlines() if "no label" in line]
    assert "2 classes" in result.stdout and warning.startswith(f"didact: warning: {table}: column \"label\": ")
    assert '"?" (1 row), "NA" (1 row) are taken for no label' in warning
    table.write_text("x,label\n1,0\n2,1\n3,\n4,1\n")
    assert "no label" not in didact(*train).stderr
    for text in ("None", "-1", "Unlabelled"):
        table.write_text(f"x,label\n1,0\n2,1\n3,{text}\n4,{text}\n")
        message = failure(*train, code=1)
        assert f'{table}: column "label": "{text}" is the label of 2 rows, first in line 4' in message
        assert "leave the cell empty" in message
    table.write_text("x,label\n1,-1\n2,1\n3,\n4,1\n")
    assert "2 classes" in didact(*train).stdout
    table.write_text("x,label\r1,0\r2,1\r")
    assert "carriage returns" in failure(*train, code=1)
    table.write_text("2019,2020,cls\n1,2,p\n2,3,q\n4,5,p\n1,5,q\n")
    assert "the first line is taken for a row" in didact(*train, "--label-column", 2).stderr
    assert "the first line" not in didact(*train, "--label-column", "cls").stderr


def test_labels_in_arrays_follow_the_rule_of_tables(tmp_path):
    data, model = tmp_path / "data.npz", tmp_path / "model.safetensors"
    train = ["train", "--method", "supervised", "--steps", 2, "--data", data, "--model", model]
    X = np.random.default_rng(0).normal(size=(6, 2))
    np.savez(data, X=X, y=np.array(["r", "b", "", "nan", "r", "NA"]))
    result = didact(*train)
    (warning,) = [line for line in result.stderr.splitlines() if "no label" in line]
    assert f'{data}: y: "NA" (1 row), "nan" (1 row) are taken for no label' in warning
    assert "3 with labels" in result.stdout and "2 classes" in result.stdout
    for text in ("None", "<NA>", "NaT", "unlabeled", "-1"):
        np.savez(data, X=X, y=np.array(["r", "b", "", text, "r", text]))
        message = failure(*train, code=1)
        assert f'y: "{text}" is the label of 2 rows, first in row 3' in message and 'write ""' in message
        # Predictions need no labels.
        assert len(didact("predict", "--model", model, "--data", data).stdout.splitlines()) == 7
    for labels in ([0, 1, -1, 0, -1, 1], [0, 1, np.nan, 0, np.nan, 1], [0.0, 1.0, -1.0, 0.0, np.nan, 1.0]):
        np.savez(data, X=X, y=np.array(labels))
        result = didact(*train)
        assert "no label" not in result.stderr and "4 with labels" in result.stdout
    # Of a support vector machine.
    np.savez(data, X=X, y=np.array([-1, 1, -1, 1, -1, 1]))
    assert "6 with labels" in didact(*train).stdout
    # What is measured has labels.
    for labels, text in ((np.array([0, 1, -1]), "-1 or NaN"), (np.array(["0", "1", ""]), '""'), (np.array(["0", "1", "NA"]), '"NA"')):
        y = labels[[0, 1, 0, 1, 0, 1]]
        np.savez(data, X=X, y=y, X_test=X[:3], y_test=labels)
        assert f"y_test, row 2: {text} is no label to measure with" in failure(*train, code=1)
    for dtype in (float, str):
        np.savez(data, X=X, y=np.array([0.5, 1.5, 0.5, 1.5, 0.5, 1.5]).astype(dtype))
        assert "y" in failure(*train, code=1)
    np.savez(data, X=X, y=np.array([0, 1] * 3), X_test=X, y_test=np.array(["0"] * 6))
    assert "one kind of label" in failure(*train, code=1)


@pytest.mark.parametrize(
    "name, meant",
    [("x", "X"), ("Y", "y"), ("X_unlabelled", "X_unlabeled"), ("Xtest", "X_test"), ("X_Test", "X_test"), ("ytest", "y_test"),
     ("X_train", "X"), ("y_train", "y"), ("labels", "y"), ("target", "y"), ("unlabeled", "X_unlabeled")],
)  # fmt: skip
def test_arrays_of_nearly_the_right_name_are_named(tmp_path, name, meant):
    data = tmp_path / "data.npz"
    arrays = {"X": np.zeros((4, 2)), "y": np.array([0, 1, 0, 1])}
    arrays.pop(meant, None)
    np.savez(data, **arrays, **{name: np.zeros(4)})
    message = failure("train", "--data", data, "--steps", 2, code=1)
    assert f'unknown array "{name}"' in message and f'Did you mean "{meant}"?' in message


def test_arrays_of_other_names_are_ignored_and_named(tmp_path):
    data = tmp_path / "data.npz"
    X = np.random.default_rng(0).normal(size=(4, 2))
    train = ["train", "--data", data, "--steps", 2, "--method", "supervised"]
    np.savez(data, X=X, y=np.array([0, 1, 0, 1]))
    assert "ignored" not in didact(*train).stderr
    np.savez(data, X=X, y=np.array([0, 1, 0, 1]), names=np.array(["a"]), labels=np.arange(4), Xu=X)
    message = didact(*train).stderr
    assert '3 arrays are ignored, "names", "labels", "Xu": those that are read are X, y, X_unlabeled' in message


def test_columns_that_are_no_numbers_and_labels_that_are_no_classes(tmp_path):
    table = tmp_path / "table.csv"
    train = ["train", "--data", table, "--steps", 2]
    table.write_text("size,label\n" + "".join(f'"0,{row}23",{row % 2}\n' for row in range(30)))
    message = failure(*train, code=1)
    assert f'{table}: line 2, column "size": "0,023"' in message and "decimal comma: write 0.023" in message
    assert "--ignore size" in message and "--categorical size" in message
    assert "30 categories" not in didact(*train, "--categorical", "size").stdout
    table.write_text("a,name,label\n" + "".join(f"{row % 3},n{row},{row % 2}\n" for row in range(30)))
    assert "30 different texts in 30 cells" in failure(*train, code=1)
    table.write_text("a,price\n" + "".join(f"{row % 3},{row}.25\n" for row in range(30)))
    assert 'column "price": the label 0.25 in line 2 is not a whole number' in failure(
        *train, "--label-column", "price", code=1
    )
    table.write_text("a,id\n" + "".join(f"{row % 3},{row}\n" for row in range(30)))
    assert "30 different labels in 30 labelled rows" in failure(*train, "--label-column", "id", code=1)
    table.write_text("a;b;label\n1;2;x\n3;4;y\n")
    assert "semicolons between them, not commas" in failure(*train, code=1)
    table.write_text("a,Label\n1,x\n3,y\n")
    assert "--label-column Label" in failure(*train, code=1)


def test_too_few_labels_for_the_classes(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("a,label\n" + "".join(f"{row},{row % 7}\n" for row in range(70)))
    message = failure("train", "--data", table, "--labels", 2, code=1)
    assert "2 labels for 7 classes" in message and "at least 7" in message and "test part" not in message


def test_wrong_tables_are_refused(tmp_path, mixed_model):
    _, model = mixed_model
    table = tmp_path / "table.csv"
    predict = ["predict", "--model", model, "--data", table]
    table.write_text("colour,size,shop\nred,3,1\nred,large,1\n")
    message = failure(*predict, code=1)
    assert f"{table}: line 3" in message and '"size"' in message and '"large"' in message
    table.write_text("colour,shop\nred,3\n")
    assert '"size"' in failure(*predict, code=1)
    table.write_text("colour,size,shop\nred,3\n")
    assert "line 2" in failure(*predict, code=1)
    assert "--ignore" in failure("predict", "--model", model, "--data", "digits", "--ignore", "id", code=64)
    assert "--categorical" in failure("train", "--data", "digits", "--categorical", "0", code=64)
    assert "Did you mean" in failure("train", "--data", write_mixed_table(table), "--categorical", "shp", code=64)
    # An identifier, and a slip of the pen.
    table.write_text("key,x,label\n" + "".join(f"k{row},1,{row % 2}\n" for row in range(1001)))
    message = failure("train", "--data", table, code=1)
    assert '"key"' in message and "1000" in message and "--ignore key" in message
    table.write_text("x,label\n" + "1,a\n2,b\n" * 10 + "3.O,a\n")
    message = failure("train", "--data", table, code=1)
    assert "line 22" in message and '"x"' in message and '"3.O"' in message and "--categorical x" in message


def test_resuming_on_a_table_equals_going_on(tmp_path):
    table = write_mixed_table(tmp_path / "table.csv")
    whole, half, resumed = (tmp_path / f"{name}.safetensors" for name in ("whole", "half", "resumed"))
    small = ["--data", table, "--labels", 10]
    # The preset's schedule runs over all steps, so that 13 of 30 would not be 13 of 13.
    constant = ["--set", "student_optimizer.schedule=constant", "--set", "teacher_optimizer.schedule=constant"]
    didact("train", *small, *MIXED, *constant, "--steps", 30, "--model", whole)
    didact("train", *small, *MIXED, *constant, "--steps", 13, "--model", half)
    didact("train", *small, "--resume", half, "--steps", 30, "--model", resumed)
    assert tensors(whole) == tensors(resumed)
    assert description_of(whole)["table"] == description_of(resumed)["table"]
    again = ["train", *small, "--resume", half, "--steps", 30]
    assert "--categorical" in failure(*again, "--categorical", "shop", code=64)
    write_mixed_table(table, rows=80)
    assert "not the data" in failure(*again, code=1)


def test_python_keeps_the_table(tmp_path, mixed_model):
    import didact as library

    table, model = mixed_model
    trainer = library.Trainer.load(model)
    assert trainer.feature_names == description_of(model)["feature_names"]
    expected = didact("predict", "--model", model, "--data", table).stdout
    for number, same in enumerate((trainer, trainer.copy(), pickle.loads(pickle.dumps(trainer)))):
        path = tmp_path / f"{number}.safetensors"
        same.save(path)
        assert description_of(path)["table"] == description_of(model)["table"]
        assert didact("predict", "--model", path, "--data", table).stdout == expected
    trainer.feature_names = []
    with pytest.raises(library.DidactError, match="colour=blue"):
        trainer.save(tmp_path / "renamed.safetensors")
    assert not (tmp_path / "renamed.safetensors").exists()


def test_evaluation(tmp_path, table_model):
    table, model = table_model
    result = json.loads(
        didact("evaluate", "--model", model, "--data", table, "--label-column", "kind", "--json").stdout
    )
    assert result["rows"] == 20 and result["accuracy"] == 1 and result["classes"] == ["blue", "red"]
    assert result["confusion"] == [[10, 0], [0, 10]] and result["measured_on"] == "training rows"
    assert result["unknown_rows"] == 0 and result["unknown_classes"] == {}
    text = didact("evaluate", "--model", model, "--data", table, "--label-column", "kind").stdout
    assert "100.00 %" in text and "confusion" in text
    assert "accuracy on 20 rows that the model was trained on: " in text and "test rows" not in text
    assert '"kind"' in failure("evaluate", "--model", model, "--data", table, "--label-column", "knd", code=64)
    unlabeled = write_table(tmp_path / "unlabeled.csv", labeled=False)
    assert "--label-column" in failure("evaluate", "--model", model, "--data", unlabeled, code=1)


def test_unknown_classes_are_named(tmp_path, table_model):
    _, model = table_model
    table = tmp_path / "table.csv"
    evaluate = ["evaluate", "--model", model, "--data", table, "--label-column", "kind"]
    table.write_text("width,height,kind\n1,2,blue\n2,1,bleu\n-2,-2,red\n2,2,green\n2,1,bleu\n")
    first, second, *_ = didact(*evaluate).stdout.splitlines()
    assert first.startswith(f"accuracy on 2 labelled rows of {table}: 100.00 % by the ")
    assert second.startswith("3 more rows have classes that the model does not know, and are left out: ")
    assert '"bleu" (2), "green" (1). Did you mean "blue"?' in second and second.endswith("accuracy 40.00 %")
    result = json.loads(didact(*evaluate, "--json").stdout)
    assert result["rows"] == 2 and result["accuracy"] == 1 and result["measured_on"] == "labelled rows"
    assert result["unknown_rows"] == 3 and result["unknown_classes"] == {"bleu": 2, "green": 1}
    assert result["accuracy_with_unknown"] == 0.4 and sum(map(sum, result["confusion"])) == 2
    table.write_text("width,height,kind\n2,1,bleu\n2,2,green\n")
    message = failure(*evaluate, code=1)
    assert "the class of no row" in message and '"bleu" (1), "green" (1)' in message and '"blue"' in message
    # Labels match by name: red is class 0 of this file and class 1 of the model.
    table.write_text("width,height,kind\n-2,-2,red\n")
    result = json.loads(
        didact("evaluate", "--model", model, "--data", table, "--label-column", "kind", "--json").stdout
    )
    assert result["accuracy"] == 1


def test_rows_that_the_model_was_trained_on_are_called_so(tmp_path):
    """Also where training did not see all labels, or the rows were in another file."""
    table, archive, model = tmp_path / "table.csv", tmp_path / "data.npz", tmp_path / "model.safetensors"
    X = np.random.default_rng(0).normal(size=(40, 2)).round(3)
    y = (X[:, 0] > 0).astype(int)

    def write(rows):
        lines = [f"{a},{b},{label}\n" for (a, b), label in zip(X[rows], y[rows])]
        table.write_text("x0,x1,label\n" + "".join(lines))

    write(slice(None))
    didact("train", "--data", table, "--labels", 10, "--steps", 5, "--model", model)
    evaluate = ["evaluate", "--model", model, "--data"]
    text = didact(*evaluate, table).stdout
    assert "accuracy on 40 rows that the model was trained on, with these labels or others: " in text
    assert json.loads(didact(*evaluate, table, "--json").stdout)["measured_on"] == "training rows"
    np.savez(archive, X=X, y=y)
    assert "that the model was trained on" in didact(*evaluate, archive).stdout
    write(slice(20, None))
    assert f"accuracy on 20 labelled rows of {table}: " in didact(*evaluate, table).stdout
    np.savez(archive, X=X, y=y, X_test=X, y_test=y)
    assert "accuracy on 40 test rows: " in didact(*evaluate, archive).stdout


def test_digits_are_evaluated_on_what_was_held_out(digits_model):
    result = json.loads(
        didact("evaluate", "--model", digits_model, "--data", "digits", "--labels", 40, "--json").stdout
    )
    assert result["rows"] == 450 and result["unlabeled"]["rows"] == 1347 - 40 and result["measured_on"] == "test"
    assert sum(map(sum, result["confusion"])) == 450
    header, rows = read_predictions(didact("predict", "--model", digits_model, "--data", "digits").stdout)
    assert len(rows) == 1797 and header[1] == "probability.0" and header[-1] == "probability.9"


def test_damaged_models_are_refused(tmp_path, digits_model):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(digits_model.read_bytes()[:-10])
    assert str(damaged) in failure("predict", "--model", damaged, "--data", "digits", code=1)
    damaged.write_bytes(b"no model")
    assert str(damaged) in failure("evaluate", "--model", damaged, "--data", "digits", code=1)


# --- checks ---------------------------------------------------------------------------------------------------------


def test_gradcheck():
    checks = [json.loads(line) for line in didact("gradcheck", "--json").stdout.splitlines()]
    assert all(check["passed"] and check["norm"] > 0 for check in checks)
    assert {check["configuration"].split(":")[0] for check in checks} == {"exact", "gradient_dot", "loss_difference"}
    for word in ("batch norm", "dropout", "label smoothing", "temperature", "momentum", "Nesterov", "decay", "clipping"):
        assert any(word in check["configuration"] for check in checks)
    own = didact("gradcheck", "--feedback", "exact", "--set", "student_optimizer.name=adamw").stdout
    assert "all 1 checks passed" in own


def test_gradcheck_fails_where_there_is_no_gradient():
    # A student that does not move gives its teacher no feedback.
    result = didact("gradcheck", "--feedback", "exact", "--set", "student_optimizer.learning_rate=0", code=1)
    assert "FAILED" in result.stdout


def test_smoke():
    start = time.monotonic()
    lines = didact("smoke").stdout.splitlines()
    assert len(lines) > 8 and all(line.startswith("ok") for line in lines)
    assert time.monotonic() - start < 60


# --- what a new user ran into -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["", "."])
def test_a_model_that_cannot_be_written_is_refused_before_training(model):
    message = failure("train", "--data", "two-moons", "--labels", 6, "--steps", 10**9, "--model", model, code=1)
    assert "directory" in message or "empty" in message


def test_resuming_on_other_data_is_refused(tmp_path):
    model = tmp_path / "model.safetensors"
    didact("train", "--data", "two-moons", "--labels", 6, "--steps", 3, "--model", model)
    message = failure("train", "--data", "two-moons", "--labels", 8, "--steps", 5, "--resume", model, code=1)
    assert "--labels" in message
    didact("train", "--data", "two-moons", "--labels", 6, "--steps", 5, "--resume", model)


def test_divergence_keeps_the_last_finite_model(tmp_path):
    model = tmp_path / "model.safetensors"
    hot = ["--set", "student_optimizer.learning_rate=300", "--set", "student_optimizer.momentum=0.99",
           "--set", "student_optimizer.weight_decay=1"]  # fmt: skip
    message = failure("train", "--data", "digits", "--labels", 40, "--steps", 500, "--model", model, *hot, code=1)
    assert "the last finite state is kept" in message and str(model) in message
    didact("evaluate", "--model", model, "--data", "digits")


def test_a_class_that_only_the_test_part_has(tmp_path):
    x = np.random.default_rng(0).normal(size=(8, 2))
    path = tmp_path / "data.npz"
    np.savez(path, X=x, y=np.array([0, 1, 0, 1, -1, -1, -1, -1]), X_test=x, y_test=np.array([0, 1, 2, 0, 1, 0, 1, 0]))
    assert '"2"' in failure("train", "--data", path, "--steps", 2, code=1)


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "table.csv")
    assert "pipe" in failure("train", "--data", tmp_path / "table.csv", code=1)


def test_data_is_not_overwritten(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("a,b,label\n" + "".join(f"{i},{i % 3},{i % 2}\n" for i in range(40)))
    content, model = table.read_text(), tmp_path / "model.safetensors"
    arguments = ["--data", str(table), "--steps", "3"]
    assert "which is read" in failure("train", *arguments, "--model", table, code=1)
    didact("train", *arguments, "--model", model)
    for output in (table, model):
        message = failure("predict", "--model", model, "--data", table, "--output", output, code=1)
        assert "which is read" in message
    assert table.read_text() == content


def test_a_finished_training_is_not_resumed(tmp_path):
    model = tmp_path / "model.safetensors"
    data = ["--data", "two-moons", "--labels", "6"]
    didact("train", *data, "--steps", "5", "--set", "finetune_steps=2", "--model", model)
    message = failure("train", *data, "--resume", model, "--steps", "50", code=64)
    assert "trained to its end, after 7 steps" in message


def test_a_reader_that_leaves_costs_no_model(tmp_path):
    model = tmp_path / "model.safetensors"
    line = f'"$0" train --data two-moons --labels 6 --steps 20 --model "{model}" | head -c 1 > /dev/null'
    subprocess.run(["sh", "-c", line, str(COMMAND)], check=True)
    assert model.exists()


def test_a_number_that_may_be_two_is_called_both(tmp_path):
    table = tmp_path / "table.csv"
    rows = "".join(f"{97 * row},{row % 2}\n" for row in range(1, 12))
    table.write_text(f'x,label\n{rows}"1,105",1\n')
    message = failure("train", "--data", table, code=1)
    assert "decimal comma: write 1.105" in message and "between thousands: write 1105" in message
