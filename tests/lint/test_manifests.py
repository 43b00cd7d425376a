"""Kubernetes manifests: the shipped ones pass, and each mistake is caught at its line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from tune_jobs.cli.cluster import known_options
from tune_jobs.cli.main import main
from tune_jobs.engine.errors import JobError
from tune_jobs.lint import schemas
from tune_jobs.lint.linting import lint

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "cluster" / "kuberay").glob("*.yaml"))
CRON_JOB = """apiVersion: ray.io/v1
kind: RayCronJob
metadata:
  name: nightly
spec:
  schedule: 0 1 * * *
  jobTemplate:
    entrypoint: >-
      python -m tune_jobs run job --profile p.yaml --name nightly --resume --max-hours 0.5
      --on-overlap skip
    activeDeadlineSeconds: 3600
    runtimeEnvYAML: 'env_vars: {RAY_JOB_STOP_WAIT_TIME_S: "30"}'
    clusterSelector:
      ray.io/cluster: tune-jobs
"""
GONE = object()
KNOWN = known_options(click.Context(main))
GROUP = {"groupName": "gpu", "maxReplicas": 1, "minReplicas": 0, "template": {"spec": {}}}
HEAD = "RayCluster spec headGroupSpec"
POD = f"{HEAD} template spec"
WORKERS = "RayCluster spec workerGroupSpecs 0"
WORKER = f"{WORKERS} template spec containers 0"
# In each row: what is set, of an object of the shipped files, to what (or GONE); the line that the
# finding is at (that of what the field belongs to, for one that is missing), and what it says.
FIELDS = [
    (f"{POD} containers 0 imagePullPolcy", "Never", "imagePullPolcy", "'imagePullPolicy'?"),
    ("CronJob spec succesfulJobsHistoryLimit", 1, "succesful", "'successfulJobsHistoryLimit'"),
    ("Role rules 0 verb", ["get"], "verb:", "did you mean 'verbs'?"),
    (f"{WORKERS} template spec", [], "spec: []", "must be a mapping, got []"),
    (f"{POD} containers 0 env", [{"name": "A", "value": 1}], "value: 1", "must be text, got 1"),
    (f"{POD} containers 0 ports", [{"containerPort": "x"}], "- containerPort", "a whole number"),
    (f"{POD} containers 0 name", GONE, "- image:", "must have name"),
    ("RayCluster apiVersion", "ray.io/v1alpha1", "apiVersion: ray.io", "must be ray.io/v1"),
    ("RayJob kind", "RayJobs", "kind: RayJobs", "did you mean 'RayJob'"),
    ("RayJob kind", GONE, "apiVersion: ray.io", "it must have apiVersion and kind"),
    ("ConfigMap data profile.yaml", "adress: auto", "profile.yaml:", "not a profile"),
    ("ConfigMap data profile.yaml", "{storage: s3://a/b}", "profile.yaml:", "must be auto"),
    ("ConfigMap data profile.yaml", "{address: auto}", "profile.yaml:", "not a profile: storage"),
]
NAMES = [
    ("RayCluster metadata name", "a" * 54, "name: aaaa", "a RayCluster name may have 53"),
    ("RayJob metadata name", "a" * 48, "name: aaaa", "a RayJob name may have 47"),
    ("CronJob metadata name", "a" * 53, "name: aaaa", "a CronJob name may have 52"),
    ("RayCluster spec rayVersion", "2.59.0", "rayVersion", "but requirements.lock has ray 2.60.0"),
    ("RayCluster spec rayVersion", GONE, "spec:", "rayVersion is missing"),
    (f"{WORKER} image", "a:2.59.1-py311", "image: a", "all nodes need Ray 2.60.0"),
    (f"{WORKER} image", "rayproject/ray:latest", "image: ray", "all nodes need Ray 2.60.0"),
    (f"{WORKER} image", "rayproject/ray-ml:2.9.0", "image: ray", "all nodes need Ray 2.60.0"),
]
ACCESS = [
    ("RayCluster spec authOptions", GONE, "spec:", "to 0.0.0.0"),
    ("RayCluster spec authOptions mode", GONE, "authOptions:", "authOptions.mode must be token"),
    ("RayCluster spec authOptions mode", "disabled", "mode: disabled", "must be token"),
    (f"{HEAD} serviceType", "LoadBalancer", "serviceType", "sends the token in clear"),
    (f"{POD} containers 0 env", [{"name": "AWS_SECRET_ACCESS_KEY", "value": "abc"}])
    + ("value: abc", "must come from one"),
    ("RayJob spec runtimeEnvYAML", 'env_vars: {A_KEY: abc, RAY_JOB_STOP_WAIT_TIME_S: "30"}')
    + ("runtimeEnvYAML", "A_KEY is visible"),
]
GROUPS = [
    (f"{WORKERS} minReplicas", 5, "minReplicas: 5", "must be at most maxReplicas 4, got 5"),
    (f"{WORKERS} maxReplicas", GONE, "- groupName: gpu", "the default is 2147483647"),
    (f"{WORKER} resources limits nvidia.com/gpu", GONE, "resources: #2", "needs nvidia.com/gpu in"),
    (f"{WORKER} resources limits memory", GONE, "resources: #2", "limits.memory is missing"),
    (f"{HEAD} rayStartParams num-cpus", "2", "num-cpus: '2'", "run on it, got '2'"),
    (f"{HEAD} rayStartParams", {}, "rayStartParams:", "or trials run on it"),
    (f"{POD} containers 0 resources requests memory", "4Gi", "memory: 4Gi", "must be equal"),
]
RUN = "python -m tune_jobs run job --profile p.yaml --max-hours 5"
SLOT = "--name 'n-{slot}' --slot daily@02:00"
JOBS = [
    ("RayJob spec shutdownAfterJobFinishes", False, "ttlSecondsAfterFinished", "needs shutdown"),
    ("RayJob spec activeDeadlineSeconds", GONE, "spec:", "activeDeadlineSeconds is missing"),
    ("RayJob spec activeDeadlineSeconds", 21600, "entrypoint", "before --max-hours 6"),
    ("RayJob spec entrypoint", "python search.py", "backoffLimit", "each attempt builds a new"),
    ("RayJob spec entrypoint", f"{RUN} --resume --name n$(date)", "backoffLimit", "a fixed --name"),
    ("RayJob spec entrypoint", f"{RUN} --name n", "entrypoint", "begin a new experiment"),
    ("RayJob spec entrypoint", f"{RUN} --name 'n", "entrypoint", "no shell can read"),
    ("RayJob spec entrypoint", f"{RUN} {SLOT.replace('-{slot}', '')}", "entrypoint", "all slots"),
    ("RayJob spec entrypoint", f"{RUN} {SLOT} --on-overlp skip", "entrypoint", "'--on-overlap'?"),
    ("RayJob spec entrypoint", f"{RUN} {SLOT} --max-hours 7", "entrypoint", "ends the run before"),
    ("RayJob spec entrypoint", RUN.replace("--profile p.yaml", SLOT), "entrypoint", "--profile is"),
    ("RayJob spec entrypointNumGpus", 1, "entrypointNumGpus", "the driver needs none"),
    ("RayJob spec entrypointNumCpus", 1, "entrypointNumCpus", "the driver needs none"),
    ("RayJob spec runtimeEnvYAML", "a: [", "runtimeEnvYAML", "not YAML"),
    ("RayJob spec runtimeEnvYAML", "env_vars: {A: 1}", "runtimeEnvYAML", "A must be text: quote"),
    ("RayJob spec runtimeEnvYAML", "env_vars: [A]", "runtimeEnvYAML", "must map names to text"),
    ("RayJob spec runtimeEnvYAML", GONE, "spec:", "a stop kills the driver after 3 s"),
    ("RayCronJob spec jobTemplate entrypoint", f"{RUN} {SLOT}", "entrypoint", "may overlap here"),
    ("RayCronJob spec jobTemplate entrypoint", f"{RUN} {SLOT}", "entrypoint", "at '0 1 * * *'"),
]


def lint_kuberay(path):
    return list(lint([path], KNOWN)[0].findings)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_manifest_has_no_findings(path):
    assert lint_kuberay(path) == []


@pytest.mark.parametrize(
    ("place", "value", "at", "says"), [*FIELDS, *NAMES, *ACCESS, *GROUPS, *JOBS]
)
def test_a_mistake_is_found_at_its_line(tmp_path, place, value, at, says):
    kind, *keys = place.split()
    path = written(tmp_path, edited(shipped(kind), keys, value))
    lines = path.read_text().splitlines()

    found = lint_kuberay(path)

    assert [str(each) for each in found if says in each.text and each.line == line_of(at, lines)], (
        [str(each) for each in found],
        line_of(at, lines),
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"0 2 * * *"', '"0 3 * * *"', "--slot is daily@02:00, but the run starts at '0 3 * * *'"),
        ("timeZone: UTC", "timeZone: Asia/Tokyo", "but the run starts by the clock of Asia/Tokyo"),
    ],
)
def test_a_template_that_a_cron_job_starts_at_another_time_is_found(tmp_path, old, new, says):
    text = (ROOT / "cluster" / "kuberay" / "rayjob_nightly.yaml").read_text()
    path = tmp_path / "nightly.yaml"
    (tmp_path / "requirements.lock").write_bytes((ROOT / "requirements.lock").read_bytes())
    path.write_text(text.replace(old, new))

    found = only(lint_kuberay(path))

    assert says in found.text
    assert path.read_text().splitlines()[found.line - 1] == "  entrypoint: >-"


def test_gpus_that_are_promised_to_ray_must_be_given_to_the_container(tmp_path):
    document = shipped("RayCluster")
    group = document["spec"]["workerGroupSpecs"][0]
    group["groupName"] = "workers"
    pod = group["template"]["spec"]
    del pod["tolerations"], pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]

    assert lint_kuberay(written(tmp_path, document)) == []
    group["rayStartParams"] = {"num-gpus": "1"}
    assert "needs nvidia.com/gpu" in only(lint_kuberay(written(tmp_path, document))).text


def test_a_head_service_that_is_open_to_the_network_is_found(tmp_path):
    document = shipped("RayCluster")
    document["spec"]["headGroupSpec"]["headService"] = {"spec": {"type": "NodePort"}}

    found = only(lint_kuberay(written(tmp_path, document)))

    assert "type NodePort sends the token in clear" in found.text


def test_a_token_may_also_be_set_by_hand_in_all_containers(tmp_path):
    document = shipped("RayCluster")
    document["spec"]["authOptions"]["mode"] = "disabled"
    groups = [document["spec"]["headGroupSpec"], *document["spec"]["workerGroupSpecs"]]
    for group in groups:
        container = group["template"]["spec"]["containers"][0]
        container["env"] = [{"name": "RAY_AUTH_MODE", "value": "token"}]

    assert lint_kuberay(written(tmp_path, document)) == []


def test_a_secret_in_a_file_is_found_at_its_value(tmp_path):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}

    assert lint_kuberay(written(tmp_path, secret)) == []
    found = only(lint_kuberay(written(tmp_path, secret | {"stringData": {"auth_token": "abc"}})))
    assert (found.line, "kubectl create secret" in found.text) == (6, True)
    assert "abc" not in found.text


def test_a_repeated_key_is_found_at_the_second(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text(CRON_JOB + "    clusterSelector: {ray.io/cluster: other}\n")

    assert only(lint_kuberay(path)).line == 15


def test_a_field_with_nothing_after_its_colon_counts_as_absent(tmp_path):
    document = shipped("RayCluster")
    document["spec"]["headServiceAnnotations"] = None

    assert lint_kuberay(written(tmp_path, document)) == []


@pytest.mark.parametrize("content", ["a text\n", "- 1\n", "1: 2\n", "spec: {1: {2: 3}}\n"])
def test_a_document_of_another_form_is_found_and_not_stumbled_over(tmp_path, content):
    path = tmp_path / "other.yaml"
    path.write_text(f"apiVersion: v1\nkind: ServiceAccount\n---\n{content}")

    assert "not a Kubernetes object" in only(lint_kuberay(path)).text


@pytest.mark.parametrize("value", ["text", [{1: 2}]])
@pytest.mark.parametrize("kind", ["RayJob", "CronJob"])
def test_whatever_stands_in_place_of_a_part_is_a_finding_and_no_crash(tmp_path, kind, value):
    for keys in ways(shipped(kind)):
        document = edited(shipped(kind), keys, value)

        lint_kuberay(written(tmp_path, document))


def test_without_kubernetes_validate_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "kubernetes_validate", None)
    schemas._read_definitions.cache_clear()

    with pytest.raises(JobError, match=r'needs kubernetes-validate: pip install "tune-jobs\[clu'):
        schemas._read_definitions()


@pytest.mark.skipif(not shutil.which("jq"), reason="the nightly run's container has jq")
@pytest.mark.parametrize(("ends", "code"), [("Complete SUCCEEDED", 0), ("Failed FAILED", 1)])
def test_the_nightly_job_creates_a_run_of_the_template_and_waits_for_its_end(tmp_path, ends, code):
    """A stand-in for kubectl keeps the created object in a file, and tells how it ended."""
    (tmp_path / "tune-nightly").write_text(json.dumps(shipped_nightly("RayJob")))
    stand_in = tmp_path / "kubectl"
    stand_in.write_text(KUBECTL)
    stand_in.chmod(0o755)
    job = shipped("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ENDS": ends, "HERE": str(tmp_path)}
    environment |= {"RUN": "tune-nightly-29384700", "OWNER": "1f0c"}

    for _ in ("a night", "its pod started again"):
        done = subprocess.run([*job["command"], *job["args"]], env=environment, timeout=20)
        assert done.returncode == code

    created = json.loads((tmp_path / "tune-nightly-29384700").read_text())
    assert created["spec"]["suspend"] is False
    assert " --name 'nightly-{slot}' --slot daily@02:00 " in created["spec"]["entrypoint"]
    assert created["metadata"]["ownerReferences"][0]["uid"] == "1f0c"
    assert (tmp_path / "log").read_text().count("create") == 1
    assert lint_kuberay(written(tmp_path, created)) == []


KUBECTL = """#!/bin/sh
echo "$1" >> "$HERE/log"
case "$1 $*" in
  create*) cat > "$HERE/$RUN" ;;
  get*jsonpath*) echo "$ENDS" ;;
  *) cat "$HERE/$3" ;;
esac
"""


def only(findings):
    assert len(findings) == 1, [str(each) for each in findings]
    return findings[0]


def ways(part, keys=()):
    """The way to each part of a document, but for those that say what it is."""
    for key in part if isinstance(part, dict) else range(len(part)):
        if key in ("apiVersion", "kind"):
            continue
        yield (*keys, key)
        if isinstance(part[key], dict | list):
            yield from ways(part[key], (*keys, key))


def shipped_nightly(kind):
    text = (ROOT / "cluster" / "kuberay" / "rayjob_nightly.yaml").read_text()
    return next(each for each in yaml.safe_load_all(text) if each["kind"] == kind)


def shipped(kind):
    """An object of a kind, as shipped; those of the nightly run come from its file alone."""
    texts = [path.read_text() for path in SHIPPED] + [CRON_JOB]
    documents = [each for text in texts for each in yaml.safe_load_all(text)]
    return next(each for each in documents if each["kind"] == kind)


def edited(document, keys, value):
    keys = [int(key) if str(key).isdigit() else key for key in keys]
    part = document
    for key in keys[:-1]:
        part = part[key]
    if value is GONE:
        del part[keys[-1]]
    elif isinstance(part, list) and keys[-1] == len(part):
        part.append(value)
    else:
        part[keys[-1]] = value
    return document


def written(folder, document):
    path = folder / "manifest.yaml"
    (folder / "requirements.lock").write_bytes((ROOT / "requirements.lock").read_bytes())
    path.write_text(yaml.safe_dump(document, sort_keys=False, width=1000))
    return path


def line_of(start, lines):
    """The line that begins so, counted from 1; ``spec: #2`` is the second one."""
    start, _, nth = start.partition(" #")
    return [n for n, line in enumerate(lines, 1) if line.strip().startswith(start)][
        int(nth or 1) - 1
    ]
