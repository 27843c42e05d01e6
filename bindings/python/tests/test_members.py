"""Members: trainers beside a trainer, of which the ensemble is the mean."""

import json
import pickle
import struct
import subprocess
import warnings

import numpy as np
import pytest

import didact
from support import CHECKOUT, assert_same_bits, same_bits, snapshot

NETWORK = didact.mlp(4, [7], 3, dropout=0.2)
MEMBERS = [{"method": "supervised"}, {"method": "fixmatch", "strong_noise": 0.4, "network": {"hidden": [5]}}]


def table(seed=0, rows=90):
    """Three blobs, with a label on every third row."""
    random = np.random.default_rng(seed)
    classes = np.arange(rows) % 3
    x = random.standard_normal((rows, 4)) + 2.5 * np.eye(4)[classes]
    return x, np.where(np.arange(rows) // 3 % 3 == 0, classes, -1)


def make(members=MEMBERS, **configuration):
    settings = {"labeled_batch_size": 8, "unlabeled_batch_size": 16, "steps": 12, "seed": 3, **configuration}
    return didact.Trainer("meta_pseudo_labels", settings.pop("network", NETWORK), members=members, **settings)


def fitted(**configuration):
    trainer = make(**configuration)
    trainer.fit(*table())
    return trainer


def every(trainer):
    return [trainer, *trainer.members]


# What they are


def test_a_member_is_the_trainers_configuration_with_its_own_keys_in_place():
    trainer = make(strong_noise=0.3, student_optimizer={"learning_rate": 0.2})
    supervised, fixmatch = (member.configuration for member in trainer.members)
    assert (supervised["method"], fixmatch["method"]) == ("supervised", "fixmatch")
    assert supervised["student_optimizer.learning_rate"] == fixmatch["student_optimizer.learning_rate"] == 0.2
    assert fixmatch["strong_noise"] == 0.4 and trainer.configuration["strong_noise"] == 0.3
    assert fixmatch["network"]["hidden"] == [5] and fixmatch["network"]["dropout"] == 0.2
    # Of those keys that a method does not have, a member has none.
    assert "strong_noise" not in supervised
    assert [member.configuration["seed"] for member in every(trainer)] == [3, 4, 5]
    assert [member.configuration["seed"] for member in every(make(seed=2**63 - 1))] == [2**63 - 1, 0, 1]
    assert [member.members for member in trainer.members] == [(), ()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_members_learn_as_they_would_alone(dtype):
    trainer = fitted(dtype=dtype, average_decay=0.9)
    for member in every(trainer):
        configuration = {**member.configuration, "members": []}
        alone = didact.Trainer(**configuration)
        alone.fit(*table())
        assert alone.predictor_role == "average"
        assert same_bits(alone.predict_proba(table()[0]), member.predict_proba(table()[0], role="average"))
        for name, values in alone.history.items():
            assert same_bits(values, member.history[name])


def test_the_ensemble_is_the_mean():
    trainer, (x, _) = fitted(dtype="float64"), table(rows=10_000)
    assert trainer.predictor_role == "ensemble" and trainer.roles == ["student", "teacher", "ensemble"]
    each = [trainer.predict_proba(x, role="student"), *(member.predict_proba(x) for member in trainer.members)]
    mean = trainer.predict_proba(x)
    np.testing.assert_allclose(mean, np.mean(each, axis=0), rtol=0, atol=1e-15)
    assert same_bits(mean, trainer.predict_proba(x, role="ensemble"))
    assert (trainer.predict(x) == mean.argmax(axis=1)).all()
    # A part of the rows, one row, and rows that are not side by side give the same.
    assert same_bits(mean[5000:5003], trainer.predict_proba(x[5000:5003]))
    assert same_bits(mean[7:8], trainer.predict_proba(x[7:8]))
    assert same_bits(mean[::3], trainer.predict_proba(np.asfortranarray(x)[::3]))
    # They differ, or a mean of them would be worth nothing.
    assert len({one.tobytes() for one in each}) == 3


def test_the_ensemble_is_what_is_evaluated_and_stored(tmp_path):
    x, y = table()
    trainer = fitted()
    trainer.store_distributions(tmp_path / "stored.safetensors", x)
    data = (tmp_path / "stored.safetensors").read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    stored = np.frombuffer(data[8 + length :], np.float32)[: 3 * len(x)].reshape(-1, 3)
    assert same_bits(stored, trainer.predict_proba(x))


# Going on


def test_a_resumed_fit_equals_an_uninterrupted_one(tmp_path):
    x, y = table()
    whole, halves, stopped = fitted(), make(), make()
    halves.fit(x, y, steps=5)
    halves.save(tmp_path / "half.safetensors")
    loaded, copied = didact.Trainer.load(tmp_path / "half.safetensors"), halves.copy()
    unpickled, read = pickle.loads(pickle.dumps(halves)), didact.Trainer.from_bytes(halves.to_bytes())
    stopped.fit(x, y, callback=lambda progress: progress["step"] == 4)
    assert [member.steps for member in every(stopped)] == [4, 4, 4]
    for other in (halves, loaded, copied, unpickled, read, stopped):
        other.fit(x, y)
        assert other.steps == 12
        assert_same_bits(snapshot(other), snapshot(whole))
        for member, reference in zip(other.members, whole.members):
            assert member.steps == 12 and member.configuration == reference.configuration
            assert same_bits(member.predict_proba(x), reference.predict_proba(x))
        assert same_bits(other.predict_proba(x), whole.predict_proba(x))
    whole.save(tmp_path / "whole.safetensors")
    didact.Trainer.load(tmp_path / "whole.safetensors").save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_members_know_the_names_of_classes_and_columns():
    pandas = pytest.importorskip("pandas")
    x, y = table()
    frame = pandas.DataFrame(x, columns=list("abcd"))
    trainer = make()
    trainer.class_names = ["red", "green", "blue"]
    trainer.fit(frame, y)
    for each in (*trainer.members, *didact.Trainer.from_bytes(trainer.to_bytes()).members):
        assert each.feature_names == list("abcd") and each.class_names == ["red", "green", "blue"]
        assert same_bits(each.predict_proba(frame[list("dcba")]), each.predict_proba(frame))


def test_every_member_counts_for_what_a_fit_says_whichever_is_first():
    trainer = didact.Trainer(
        "supervised", NETWORK, members=[{"method": "meta_pseudo_labels", "uda_wait_steps": 30}], steps=20
    )
    with pytest.warns(didact.DidactWarning):
        trainer.fit(*table())
    codes = [warning.code for warning in trainer.warnings]
    # Members that have hardly learned are not said to disagree.
    assert "few_steps" in codes and "members_disagree" not in codes


def test_stages_of_members_are_their_own():
    members = [{"method": "supervised", "validation_fraction": 0.5, "validation_steps": 2, "patience": 2}, {}]
    trainer = make(members, steps=60, finetune_steps=3)
    seen = []
    trainer.fit(*table(), callback=lambda progress: seen.append((progress["step"], progress["steps"])) and False)
    early, late = trainer.members
    assert early.steps < 60 and late.steps == trainer.steps == 63
    assert early.roles[-1] == late.roles[-1] == "finetuned"
    assert [step for step, _ in seen] == list(range(1, 64)) and seen[-1] == (63, 63)


def test_members_that_are_not_at_one_step_end_at_one():
    """As after an error in the midst of a round, or where one was trained by itself."""
    x, y = table()
    whole = fitted()
    for asked in (8, None):
        trainer = make().fit(x, y, steps=4)
        trainer.members[0].fit(x, y, steps=1)
        trainer.fit(x, y, steps=asked)
        assert trainer.to_bytes() == whole.to_bytes()


def test_names_of_a_member_that_was_used_by_itself_are_not_overwritten():
    pandas = pytest.importorskip("pandas")
    x, y = table()
    frame = pandas.DataFrame(x, columns=list("abcd"))
    trainer = make()
    trainer.members[0].fit(frame[list("dcba")], y)
    with pytest.raises(ValueError, match=r"members\[0\] was used by itself, with other feature names: d, c, b, a"):
        trainer.fit(frame, y)
    again = didact.Trainer.from_bytes(trainer.to_bytes())
    assert again.members[0].feature_names == list("dcba") and again.feature_names == []
    trainer = make()
    trainer.members[0].class_names = ["red", "green", "blue"]
    with pytest.raises(ValueError, match=r"members\[0\] was used by itself, with other class names: red, green, blue"):
        trainer.class_names = ["blue", "green", "red"]
    trainer.class_names = ["red", "green", "blue"]
    trainer.class_names = ["r", "g", "b"]
    assert [each.class_names for each in every(trainer)] == [["r", "g", "b"]] * 3


def test_a_member_that_cannot_predict_is_named():
    trainer = fitted()
    trainer.members[1].student.parameters["dense0.weight"][:] = np.nan
    with pytest.raises(didact.DidactError, match=r"members\[1\]: "):
        trainer.predict_proba(table()[0])


def test_a_member_that_diverges_is_named_and_nothing_is_lost():
    x, y = table()
    trainer = make([{"method": "supervised"}, {"method": "supervised", "student_optimizer.learning_rate": 1e30}])
    with pytest.raises(didact.DidactRuntimeError, match=r"members\[1\]: step"):
        trainer.fit(x, y)
    assert np.isfinite(trainer.predict_proba(x)).all()
    again = didact.Trainer.from_bytes(trainer.to_bytes())
    assert same_bits(again.predict_proba(x), trainer.predict_proba(x))


# What is refused


@pytest.mark.parametrize(
    "members, message",
    [
        ([{"method": "superwised"}], r'members\[0\]: unknown method "superwised". Did you mean "supervised"'),
        ([{}, {"strong_noize": 1.0}], r'members\[1\]: .*unknown key "strong_noize". Did you mean "strong_noise"'),
        ([{"method": "supervised", "strong_noise": 0.1}], r'members\[0\]: .*unknown key "strong_noise"'),
        ([{"steps": 5}], r'members\[0\]: "steps" is the same for all members'),
        ([{"dtype": "float64"}], r'"dtype" is the same for all members'),
        ([{"members": []}], r'"members" is the same for all members'),
        ([{"network": didact.mlp(5, [3], 3)}], r"members\[0\]: it takes inputs \[5\] to 3 classes; the trainer \[4\] to 3"),
        ([{"network": didact.mlp(4, [3], 2)}], r"members\[0\]: it takes inputs \[4\] to 2 classes"),
        ([3], r"members\[0\]: expected an object"),
        ([{"method": 3}], r'members\[0\]: "method" must be a name; got 3'),
        ({"method": "supervised"}, '"members" must be a list of objects'),
        ([{}] * 101, "101 members; there can be 100"),
    ],
)
def test_members_that_cannot_be(members, message):
    with pytest.raises(ValueError, match=message):
        make(members)


def test_single_steps_would_leave_members_behind():
    x, y = table()
    labelled = y >= 0
    trainer = make()
    calls = [
        lambda: trainer.step(x[labelled], y[labelled], x), lambda: trainer.student_step(x),
        lambda: trainer.teacher_step(x[labelled], y[labelled]), trainer.update_average,
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(didact.DidactError, match="trains all of them by fit"):
            call()
    # A member by itself has none.
    trainer.members[0].step(x[labelled], y[labelled])
    with pytest.raises(didact.DidactError, match="there is no ensemble network: it is the mean of several"):
        trainer._network("ensemble", didact._library.library.didact_trainer_network, b"ensemble")
    with pytest.raises(didact.DidactError, match="set \"members\""):
        didact.Trainer("supervised", NETWORK).predict_proba(x, role="ensemble")


def test_one_training_call_at_a_time_for_all_of_them():
    x, y = table()
    trainer, refused = make(), []

    def callback(progress):
        for each in every(trainer):
            with pytest.raises(didact.DidactError, match="training already"):
                each.fit(x, y)
            refused.append(each.predict_proba(x).shape)
        assert trainer.predict_proba(x).shape == (90, 3)

    trainer.fit(x, y, callback=callback)
    assert len(refused) == 36
    for each in trainer.members:
        each.fit(x, y, steps=1)


def changed(data, change):
    """A model file with another description."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    description = json.loads(header["__metadata__"]["didact.description"])
    change(description, header)
    header["__metadata__"]["didact.description"] = json.dumps(description)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def nested(description, header):
    description["members"][0]["members"] = [description["members"][1]]


def swapped(description, header):
    """Two tensors of one shape, of a member that has a teacher's and of one that has not."""
    header["member0.teacher.dense0.bias"] = header.pop("member0.student.dense0.bias")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda description, header: description["members"].pop(), "1 members, of 2 in the configuration"),
        (lambda description, header: description.pop("members"), "0 members, of 2"),
        (lambda description, header: description.update(members=3), '"members" is missing or of the wrong kind'),
        (lambda description, header: description.update(members=[3, 4]), "no description of member 0"),
        (nested, "no description of member 0, or one too deep"),
        (lambda description, header: description.update(members=[{}] * 100_000), "100000 members; at most 100 can be"),
        (swapped, r'members\[0\]: tensor "student.dense0.bias" is missing'),
        (lambda description, header: description["members"].reverse(), "tensor"),
        (lambda description, header: description["members"][0].update(steps=7), r"members\[0\]: "),
        (
            # Refused before the networks that it asks for are made.
            lambda description, header: description["members"][0]["configuration"].update(
                seed=2**63 - 1, members=[{"method": "supervised", "network": {"hidden": [100_000, 100_000]}}] * 90
            ),
            "a member cannot have members",
        ),
        (
            lambda description, header: header.update({"member2.stranger": header["history"]}),
            "does not belong to the configuration|overlap",
        ),
    ],
)
def test_damaged_members_are_refused(change, message):
    data = fitted().to_bytes()
    assert didact.Trainer.from_bytes(changed(data, lambda description, header: None)).steps == 12
    with pytest.raises(ValueError, match=message):
        didact.Trainer.from_bytes(changed(data, change))


# In front ends


def test_the_classifiers_default_on_rows_is_an_ensemble(tmp_path):
    sklearn_classifier = didact.SemiSupervisedClassifier(steps=110, random_state=0)
    x, y = table()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", didact.DidactWarning)
        sklearn_classifier.fit(x, y)
    trainer = sklearn_classifier.trainer_
    assert [member.method for member in every(trainer)] == ["meta_pseudo_labels"] * 3 + ["supervised"] * 2
    sklearn_classifier.save(tmp_path / "classifier.safetensors")
    loaded = didact.SemiSupervisedClassifier.load(tmp_path / "classifier.safetensors")
    assert loaded.get_params()["method"] == "auto"
    assert same_bits(loaded.predict_proba(x), sklearn_classifier.predict_proba(x))
    trainer.save(tmp_path / "trainer.safetensors")
    assert didact.SemiSupervisedClassifier.load(tmp_path / "trainer.safetensors").method == "auto"
    # Images have presets without one, and so has every method by name.
    images = np.random.default_rng(0).normal(size=(30, 6, 6, 1))
    assert didact.SemiSupervisedClassifier(steps=2).fit(images, y[:30]).trainer_.members == ()
    assert didact.SemiSupervisedClassifier("meta_pseudo_labels", steps=2).fit(x, y).trainer_.members == ()
    assert didact.preset("table", "auto", 4, 3)["members"] == [
        {"method": "meta_pseudo_labels"}, {"method": "meta_pseudo_labels"}, {"method": "supervised"}, {"method": "supervised"}
    ]  # fmt: skip


def test_the_command_trains_saves_resumes_and_predicts_with_members(tmp_path):
    x, y = table(rows=120)
    lines = ["a,b,c,d,class"]
    lines += [",".join([*map(str, row), "" if label < 0 else f"k{label}"]) for row, label in zip(x.tolist(), y)]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")

    def didact_command(*arguments):
        command = [CHECKOUT / "build" / "bin" / "didact", *arguments]
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert found.returncode == 0, found.stderr
        return found.stdout

    data = ["--data", "table.csv", "--label-column", "class"]
    told = didact_command("train", *data, "--steps", "120", "--model", "whole.safetensors")
    assert "meta_pseudo_labels and 4 members on table.csv" in told
    didact_command("predict", "--data", "table.csv", "--model", "whole.safetensors", "--output", "predictions.csv")
    trainer = didact.Trainer.load(tmp_path / "whole.safetensors")
    predicted = [line.split(",") for line in (tmp_path / "predictions.csv").read_text().splitlines()[1:]]
    classes = [trainer.class_names[each] for each in trainer.predict(x)]
    assert all(name in row for name, row in zip(classes, predicted, strict=True))
    assert "by the ensemble" in didact_command("evaluate", *data, "--model", "whole.safetensors")
    didact_command("train", "--resume", "whole.safetensors", *data, "--steps", "130", "--model", "more.safetensors")
    assert {member.steps for member in every(didact.Trainer.load(tmp_path / "more.safetensors"))} == {130}
    # A method by name is that method alone.
    told = didact_command("train", *data, "--steps", "2", "--method", "meta_pseudo_labels")
    assert "members" not in told
