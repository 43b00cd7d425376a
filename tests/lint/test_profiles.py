"""Profiles: each mistake is reported at its line, on a cluster more than on a laptop."""

from pathlib import Path

import pytest

from tune_jobs.engine import load_profile
from tune_jobs.lint.linting import lint

SHIPPED = sorted(Path(__file__).parent.parent.parent.glob("cluster/profiles/*.yaml"))
CLUSTER = "address: auto\nstorage: s3://bucket/results\nmax_concurrent_trials: 4\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "profiles" / "mine.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def findings_of(path: Path) -> list:
    return list(lint([path], {})[0].findings)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_profile_passes(path) -> None:
    assert findings_of(path) == []


@pytest.mark.parametrize("text", ["", "# all defaults\n", CLUSTER])
def test_a_sound_profile_passes_as_it_loads(tmp_path, text) -> None:
    path = written(tmp_path, text)

    load_profile(str(path))
    assert findings_of(path) == []


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("address: local\ngpu_per_trial: 1\n", 2, "unknown key 'gpu_per_trial'; did you mean"),
        ("\ncpus_per_trial: four\n", 2, "cpus_per_trial is 'four', but must be a number"),
        ("env:\n  A: b\n  B: 1\n", 3, "env is {'B': 1}, but must map names to strings"),
        ("env:\n  A: b\n  AWS_SECRET_ACCESS_KEY: x\n", 3, "env.AWS_SECRET_ACCESS_KEY looks like"),
        ("env:\n  HF_TOKEN: x\n", 2, "env.HF_TOKEN looks like a secret"),
        ("env:\n  DB_PASSWORD: x\n", 2, "env.DB_PASSWORD looks like a secret"),
        ("env: 1\n", 1, "env is 1, but must map names to strings"),
        ("storage: /a\nstorage: /b\n", 2, "storage is repeated"),
        ("- a\n", 1, "must map keys to values, got ['a']"),
        ("address: local\n---\naddress: auto\n", 3, "a second YAML document"),
        ("# here\naddress: local\njobs_api: http://127.0.0.1:8265\n", 3, "but address is 'local'"),
        ("address: local\ntoken_file: ~/token\n", 2, "token_file is '~/token', but address is"),
        (CLUSTER.replace("s3://bucket/results", "results"), 2, "storage is 'results', but"),
        ("max_concurrent_trials: 1\naddress: auto\n", 2, "storage is 'results', but"),
        (CLUSTER.replace("max_concurrent", "# max"), 1, "max_concurrent_trials is missing"),
        (CLUSTER.replace("bucket", "me:sesame@bucket"), 2, "the storage URI"),
        (CLUSTER.replace("results", "r?secret_key=x"), 2, "the storage URI"),
        (CLUSTER + "jobs_api: tcp://head:8265\ntoken_file: /t\n", 4, "but must be a URL such as"),
        (CLUSTER + "jobs_api: http://127.0.0.1:8265\n", 4, "without a token_file"),
        (CLUSTER + "token_file: /t\njobs_api: http://head:8265\n", 5, "sends the token in clear"),
    ],
)
def test_each_mistake_is_reported_at_its_line(tmp_path, text, line, message) -> None:
    (finding,) = findings_of(written(tmp_path, text))

    assert (finding.line, message in finding.text) == (line, True), finding
    assert "sesame" not in finding.text
    assert "\n" not in finding.text


def test_all_mistakes_are_reported_at_once(tmp_path) -> None:
    text = "cpu: 1\ncpus_per_trial: 0\nenv:\n  A_KEY: a\n  B_TOKEN: b\naddress: auto\n"

    findings = findings_of(written(tmp_path, text))

    assert [finding.line for finding in findings] == [1, 2, 4, 5, 6]


def test_a_token_that_others_may_read_is_reported(tmp_path) -> None:
    token = tmp_path / "token"
    token.write_text("sesame")
    token.chmod(0o644)
    text = CLUSTER + f"jobs_api: https://head\ntoken_file: {token}\n"

    (finding,) = findings_of(written(tmp_path, text))
    token.chmod(0o600)

    assert (finding.line, "has mode 0644" in finding.text) == (5, True)
    assert findings_of(written(tmp_path, text)) == []
