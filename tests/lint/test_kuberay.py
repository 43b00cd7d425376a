import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ray.runtime_env import RuntimeEnv

from tune_jobs.engine.errors import JobError
from tune_jobs.lint import kubernetes
from tune_jobs.lint.kuberay import lint_kuberay
from tune_jobs.lint.kuberay_job import RUNTIME_ENV

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "cluster" / "kuberay").glob("*.yaml"))
CRON_JOB = """# The operator runs with --feature-gates=RayCronJob=true.
apiVersion: ray.io/v1
kind: RayCronJob
metadata:
  name: nightly
spec:
  schedule: 0 1 * * *
  jobTemplate:
    entrypoint: python -m tune_jobs run job --profile p.yaml --name nightly --resume
    activeDeadlineSeconds: 3600
    runtimeEnvYAML: 'env_vars: {RAY_JOB_STOP_WAIT_TIME_S: "30"}'
    clusterSelector:
      ray.io/cluster: tune-jobs
"""
GONE = object()
GROUP = {"groupName": "gpu", "maxReplicas": 1, "minReplicas": 0, "template": {"spec": {}}}
HEAD = "RayCluster spec headGroupSpec"
POD = f"{HEAD} template spec"
WORKERS = "RayCluster spec workerGroupSpecs 0"
WORKER = f"{WORKERS} template spec containers 0"
SPOT = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {
                    "matchExpressions": [
                        {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]}
                    ]
                }
            ]
        }
    }
}

# In each row: what is set, of an object of the shipped files, to what (or GONE); the line that the
# finding is at (that of what the field belongs to, for one that is missing), and what it says.
FIELDS = [
    ("RayJob spec ttlSecondAfterFinished", 600, "ttlSecondAfter", "'ttlSecondsAfterFinished'"),
    (f"{WORKERS} numOfHost", 1, "numOfHost:", "did you mean 'numOfHosts'?"),
    (f"{POD} containers 0 imagePullPolcy", "Never", "imagePullPolcy", "'imagePullPolicy'?"),
    ("CronJob spec succesfulJobsHistoryLimit", 1, "succesful", "'successfulJobsHistoryLimit'"),
    ("Role rules 0 verb", ["get"], "verb:", "did you mean 'verbs'?"),
    (f"{HEAD} rayStartParams num-cpus", 0, "num-cpus: 0", "is 0, but must be text: quote it"),
    (f"{WORKERS} maxReplicas", "four", "maxReplicas: four", "but must be a whole number"),
    (f"{WORKERS} template spec", [], "spec: []", "is a list, but must be a mapping"),
    (f"{POD} containers 0 env", [{"name": "A", "value": 1}], "value: 1", "quote it"),
    (f"{POD} containers 0 ports", [{"containerPort": "x"}], "- containerPort", "a whole number"),
    ("RayCluster spec authOptions mode", "tokens", "mode: tokens", "did you mean 'token'?"),
    ("RayJob spec submissionMode", "K8sJob", "submissionMode: K8sJob", "'K8sJobMode'?"),
    ("RayJob spec backoffLimit", -1, "backoffLimit: -1", "must be >= 0"),
    (f"{WORKERS} groupName", GONE, "- replicas: 0", "needs the field 'groupName'"),
    ("RayCluster spec headGroupSpec", GONE, "spec:", "needs the field 'headGroupSpec'"),
    (f"{WORKER} resources requests cpu", "8GHz", "cpu: 8GHz", "must be an amount such as"),
    (f"{POD} containers 0 volumeMounts", [{"name": "a", "mountPath": "/a"}], "- name: a", "volume"),
    ("RayCluster apiVersion", "ray.io/v1alpha1", "apiVersion: ray.io", "must be ray.io/v1"),
    ("RayJob kind", "RayJobs", "kind: RayJobs", "did you mean 'RayJob'"),
    ("RayJob kind", GONE, "apiVersion: ray.io", "it needs apiVersion and kind"),
    ("ConfigMap data profile.yaml", "adress: auto", "profile.yaml:", "not a profile"),
    ("ConfigMap data profile.yaml", "{storage: s3://a/b}", "profile.yaml:", "must be auto"),
    ("ConfigMap data profile.yaml", "{address: auto}", "profile.yaml:", "not a profile: storage"),
]
NAMES = [
    ("RayCluster metadata name", "a" * 54, "name: aaaa", "54 characters, but a RayCluster may"),
    ("RayJob metadata name", "a" * 48, "name: aaaa", "48 characters, but a RayJob may have 47"),
    ("CronJob metadata name", "a" * 53, "name: aaaa", "53 characters, but a CronJob may have 52"),
    ("RayJob metadata name", "Digits", "name: Digits", "must be small letters"),
    ("RayCluster spec workerGroupSpecs 1", GROUP, "- groupName: gpu #2", "two worker groups are"),
    ("RayCluster spec rayVersion", "2.59.0", "rayVersion", "but requirements.lock has ray 2.60.0"),
    ("RayCluster spec rayVersion", GONE, "spec:", "rayVersion is missing"),
    (f"{WORKER} image", "a:2.59.1-py311", "image: a", "has Ray 2.59.1, but the cluster's is 2.60"),
    (f"{WORKER} image", "a:2.60.0-py312", "image: a", "Python 3.12, but 'tune-jobs:2.60.0-py311'"),
    (f"{WORKER} image", "a:latest", "image: a", "does not say which Ray it has"),
    (f"{WORKER} image", "rayproject/ray:2.60.0", "image: ray", "does not say which Python"),
    (f"{WORKER} image", "rayproject/ray-ml:2.9.0", "image: ray", "ended with Ray 2.30"),
]
ACCESS = [
    ("RayCluster spec authOptions", GONE, "headGroupSpec:", "to 0.0.0.0"),
    ("RayCluster spec authOptions mode", GONE, "authOptions:", "authOptions.mode must be token"),
    ("RayCluster spec authOptions mode", "disabled", "authOptions:", "must be token"),
    ("RayCluster spec authOptions enableK8sTokenAuth", True, "secretName", "exclude each other"),
    ("RayJob spec rayClusterSpec authOptions", {"mode": "token", "enableK8sTokenAuth": True})
    + ("enableK8sTokenAuth", "refused in a RayJob"),
    (f"{HEAD} serviceType", "LoadBalancer", "serviceType", "sends the token in clear"),
    (f"{HEAD} enableIngress", True, "enableIngress", "sends the token in clear"),
    (f"{POD} containers 0 env", [{"name": "AWS_SECRET_ACCESS_KEY", "value": "abc"}])
    + ("value: abc", "must come from a Secret"),
    ("RayJob spec runtimeEnvYAML", 'env_vars: {A_KEY: abc, RAY_JOB_STOP_WAIT_TIME_S: "30"}')
    + ("runtimeEnvYAML", "A_KEY would be visible"),
]
GROUPS = [
    (f"{WORKERS} minReplicas", 5, "minReplicas: 5", "minReplicas is 5, but maxReplicas is 4"),
    (f"{WORKERS} replicas", 6, "replicas: 6", "must be within minReplicas 0 and maxReplicas 4"),
    ("RayJob spec rayClusterSpec workerGroupSpecs 0 minReplicas", 2, "replicas: 1", "within"),
    (f"{WORKERS} maxReplicas", GONE, "- groupName: gpu", "the default is 2147483647"),
    ("RayCluster spec enableInTreeAutoscaling", False, "autoscalerOptions:", "without enable"),
    ("RayCluster spec autoscalerOptions idleTimeoutSeconds", GONE, "autoscalerOptions:", "idle"),
    (f"{WORKERS} suspend", True, "suspend", "cannot be suspended"),
    (f"{WORKERS} template spec restartPolicy", "Always", "restartPolicy", "v2 wants Never"),
    (f"{WORKER} resources limits nvidia.com/gpu", GONE, "resources: #2", "needs nvidia.com/gpu in"),
    (f"{WORKERS} rayStartParams labels", "a=b", "labels: a=b", "the group's field labels"),
    (f"{WORKER} resources limits memory", GONE, "resources: #2", "needs a memory limit"),
    (f"{HEAD} rayStartParams num-cpus", "2", "num-cpus: '2'", "or trials run on it"),
    (f"{HEAD} rayStartParams", {}, "headGroupSpec:", "or trials run on it"),
    (f"{HEAD} resources", {"memory": "1"}, "resources: #2", "exclude each other"),
    (f"{POD} containers 0 resources requests memory", "4Gi", "memory: 4Gi", "differ: Ray fills"),
    (f"{POD} containers", [], "containers: []", "a group needs a container"),
    (f"{POD} nodeSelector", {"cloud.google.com/gke-spot": "true"}, "cloud.google", "spot node"),
    (f"{POD} tolerations", [{"key": "kubernetes.azure.com/scalesetpriority", "value": "spot"}])
    + ("- key: kubernetes.azure", "the head may run on a spot node"),
    (f"{POD} affinity", SPOT, "- key: karpenter", "the head may run on a spot node"),
]
RUN = "python -m tune_jobs run job --profile p.yaml"
SLOT = "--name 'n-{slot}' --slot daily@02:00"
JOBS = [
    ("RayJob spec shutdownAfterJobFinishes", False, "ttlSecondsAfterFinished", "needs shutdown"),
    ("RayJob spec activeDeadlineSeconds", GONE, "spec:", "activeDeadlineSeconds is missing"),
    ("RayJob spec activeDeadlineSeconds", 21600, "activeDeadlineSeconds", "before --max-hours 6"),
    ("RayJob spec rayClusterSpec", GONE, "spec:", "needs rayClusterSpec or clusterSelector"),
    ("RayJob spec rayClusterSpec upgradeStrategy", {"type": "None"}, "upgradeStrategy", "refused"),
    ("RayJob spec entrypoint", GONE, "spec:", "a RayJob needs an entrypoint"),
    ("RayJob spec entrypoint", "python search.py", "backoffLimit", "each attempt builds a new"),
    ("RayJob spec entrypoint", f"{RUN} --resume --name n$(date)", "backoffLimit", "a fixed name"),
    ("RayJob spec entrypoint", f"{RUN} --name n", "entrypoint", "the entrypoint needs --resume"),
    ("RayJob spec entrypoint", f"{RUN} {SLOT.replace('-{slot}', '')}", "entrypoint", "all slots"),
    ("RayJob spec entrypoint", f"{RUN} {SLOT} --on-overlp skip", "entrypoint", "'--on-overlap'?"),
    ("RayJob spec entrypoint", f"{RUN} {SLOT} --max-hours 7", "entrypoint", "ends the run before"),
    ("RayJob spec entrypointNumGpus", 1, "entrypointNumGpus", "the driver needs none"),
    ("RayJob spec entrypointNumCpus", 1, "entrypointNumCpus", "the driver needs none"),
    ("RayJob spec submissionMode", "InteractiveMode", "backoffLimit", "refused with"),
    ("RayJob spec deletionStrategy", {"deletionRules": [{"policy": "DeleteSelf", "condition": {}}]})
    + ("deletionStrategy", "exclude each other"),
    ("RayJob spec runtimeEnvYAML", "a: [", "runtimeEnvYAML", "not YAML"),
    ("RayJob spec runtimeEnvYAML", "env_vars: {A: 1}", "runtimeEnvYAML", "quote numbers"),
    ("RayJob spec runtimeEnvYAML", 'workingdir: a\nenv_vars: {RAY_JOB_STOP_WAIT_TIME_S: "9"}')
    + ("runtimeEnvYAML", "did you mean 'working_dir'"),
    ("RayJob spec runtimeEnvYAML", GONE, "spec:", "a stop kills the driver after 3 s"),
    ("CronJob spec concurrencyPolicy", "Allow", "concurrencyPolicy", "but must be Forbid"),
    ("CronJob spec concurrencyPolicy", GONE, "spec:", "concurrencyPolicy is Allow"),
    ("CronJob spec startingDeadlineSeconds", GONE, "spec:", "startingDeadlineSeconds is missing"),
    ("CronJob spec schedule", "0 1 * *", "schedule", "has 4 fields, but cron wants 5"),
    ("CronJob spec jobTemplate spec activeDeadlineSeconds", GONE, "spec: #2", "stops all later"),
    ("CronJob spec jobTemplate spec template spec containers 0 args 0", "kubectl create -f a.yaml")
    + ("args:", "ends when it has created the job"),
    ("RayCronJob spec schedule", "TZ=UTC 0 1 * * *", "schedule", "belongs into the field timeZone"),
    ("RayCronJob spec jobTemplate entrypoint", "python a.py", "entrypoint", "overlap: only the"),
    ("CronJob spec schedule", "0 2 * * 7", "schedule", "the day of the week is '7'"),
    ("RayCronJob spec schedule", "0 3 * * *", "entrypoint", "but it is started at 03:00"),
    ("RayCronJob spec timeZone", "Europe/Berlin", "entrypoint", "by the clock of Europe/Berlin"),
    ("RayCronJob spec jobTemplate entrypoint", f"{RUN} {SLOT}", "entrypoint", "--on-overlap is ab"),
    ("RayCronJob spec concurrencyPolicy", "Forbid", "concurrencyPolicy", "has no field"),
]


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


def test_a_template_whose_slots_begin_at_another_time_than_the_cron_job_is_found(tmp_path):
    text = (ROOT / "cluster" / "kuberay" / "rayjob_nightly.yaml").read_text()
    path = tmp_path / "nightly.yaml"
    (tmp_path / "requirements.lock").write_bytes((ROOT / "requirements.lock").read_bytes())
    path.write_text(text.replace('schedule: "0 2 * * *"', 'schedule: "0 3 * * *"'))

    found = only(lint_kuberay(path))

    assert "--slot is daily@02:00, but it is started at 03:00" in found.text
    assert path.read_text().splitlines()[found.line - 1] == "  entrypoint: >-"


def test_without_the_autoscaler_a_group_needs_both_bounds_and_nothing_between(tmp_path):
    document = shipped("RayCluster")
    for field in ("enableInTreeAutoscaling", "autoscalerOptions"):
        del document["spec"][field]
    ranged = lint_kuberay(written(tmp_path, document))
    del document["spec"]["workerGroupSpecs"][0]["maxReplicas"]
    open_ended = lint_kuberay(written(tmp_path, document))

    assert "minReplicas 0 < maxReplicas 4, but nothing scales" in only(ranged).text
    assert "needs maxReplicas" in only(open_ended).text


def test_a_groups_idle_time_needs_the_second_autoscaler(tmp_path):
    document = shipped("RayCluster")
    document["spec"]["autoscalerOptions"]["version"] = "v1"
    document["spec"]["workerGroupSpecs"][0]["idleTimeoutSeconds"] = 60

    assert (
        "needs autoscalerOptions.version: v2"
        in only(lint_kuberay(written(tmp_path, document))).text
    )


@pytest.mark.parametrize(
    ("start", "requests", "says"),
    [
        ({}, {"nvidia.com/gpu": 1}, "stands in requests only"),
        ({"num-gpus": "1"}, {}, "promises Ray GPUs that the container does not get"),
    ],
)
def test_gpus_that_the_container_does_not_get_are_found(tmp_path, start, requests, says):
    document = shipped("RayCluster")
    group = document["spec"]["workerGroupSpecs"][0]
    resources = group["template"]["spec"]["containers"][0]["resources"]
    del resources["limits"]["nvidia.com/gpu"]
    resources["requests"].update(requests)
    group["rayStartParams"] = start

    assert says in only(lint_kuberay(written(tmp_path, document))).text


def test_a_cluster_for_a_service_of_its_own_on_the_network_is_found(tmp_path):
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


def test_a_ray_cron_job_must_say_that_the_operator_runs_them(tmp_path):
    path = tmp_path / "cron.yaml"
    path.write_text(CRON_JOB)
    said = lint_kuberay(path)
    path.write_text(CRON_JOB.split("\n", 1)[1])

    assert said == []
    found = only(lint_kuberay(path))
    assert (found.line, "alpha" in found.text) == (2, True)


def test_a_key_that_stands_twice_is_found_at_the_second(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text(CRON_JOB + "    clusterSelector: {ray.io/cluster: other}\n")

    assert only(lint_kuberay(path)).line == 14


def test_a_field_with_nothing_after_its_colon_counts_as_absent(tmp_path):
    document = shipped("RayCluster")
    document["spec"]["headServiceAnnotations"] = None

    assert lint_kuberay(written(tmp_path, document)) == []


@pytest.mark.parametrize("content", ["a text\n", "- 1\n", "1: 2\n", "spec: {1: {2: 3}}\n"])
def test_a_document_of_another_form_is_found_and_not_stumbled_over(tmp_path, content):
    path = tmp_path / "other.yaml"
    path.write_text(content)

    assert "not a Kubernetes object" in only(lint_kuberay(path)).text


@pytest.mark.parametrize("value", ["text", [{1: 2}]])
@pytest.mark.parametrize("kind", ["RayJob", "CronJob"])
def test_whatever_stands_in_place_of_a_part_is_a_finding_and_no_crash(tmp_path, kind, value):
    for keys in ways(shipped(kind)):
        document = edited(shipped(kind), keys, value)

        lint_kuberay(written(tmp_path, document))


def test_the_fields_of_a_runtime_environment_are_those_of_ray():
    assert set(RUNTIME_ENV) == {f for f in RuntimeEnv.known_fields if not f.startswith("_")}


def test_without_kubernetes_validate_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "kubernetes_validate", None)
    kubernetes.read_definitions.cache_clear()

    with pytest.raises(JobError, match=r'needs kubernetes-validate: pip install "tune-jobs\[clu'):
        kubernetes.read_definitions()


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
