"""The fields of KubeRay's resources (apiVersion ray.io/v1) as of its release v1.7.0.

A table, in the words of JSON Schema: for each type its fields, which of them are needed, and what
values they take. Where a type is one of Kubernetes' own, its name there stands. Fields that have a
default are not needed. ``submissionMode`` is open text for a server; here it is closed.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

RELEASE = "v1.7.0"
API_VERSION = "ray.io/v1"
KINDS = ("RayCluster", "RayJob", "RayCronJob")

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
POSITIVE: Schema = {"type": "integer", "minimum": 1}
NUMBER: Schema = {"type": "number", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
ANYTHING: Schema = {}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}


def _core(name: str) -> Schema:
    return {"$ref": f"#/$defs/io.k8s.api.core.v1.{name}"}


def _networking(name: str) -> Schema:
    return {"$ref": f"#/$defs/io.k8s.api.networking.v1.{name}"}


def _ray(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _list(element: Schema) -> Schema:
    return {"type": "array", "items": element}


def _choice(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _fields(*needed: str, **fields: Schema) -> Schema:
    return {
        "type": "object",
        "properties": fields,
        "required": list(needed),
        "additionalProperties": False,
    }


def _resource(kind: str, spec: str) -> Schema:
    return _fields(
        "metadata",
        "spec",
        apiVersion=_choice(API_VERSION),
        kind=_choice(kind),
        metadata={"$ref": "#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
        spec=_ray(spec),
        status=ANYTHING,
    )


QUANTITY: Schema = {"$ref": "#/$defs/io.k8s.apimachinery.pkg.api.resource.Quantity"}
MANAGED_BY = _choice("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue")
DELETION = _choice("DeleteCluster", "DeleteWorkers", "DeleteSelf", "DeleteNone")
PULL = _choice("Always", "IfNotPresent", "Never")
RULES: dict[str, Schema] = {
    "ingressRules": _list(_networking("NetworkPolicyIngressRule")),
    "egressRules": _list(_networking("NetworkPolicyEgressRule")),
}

TYPES: dict[str, Schema] = {
    "RayCluster": _resource("RayCluster", "RayClusterSpec"),
    "RayJob": _resource("RayJob", "RayJobSpec"),
    "RayCronJob": _resource("RayCronJob", "RayCronJobSpec"),
    "RayClusterSpec": _fields(
        "headGroupSpec",
        rayVersion=TEXT,
        headGroupSpec=_ray("HeadGroupSpec"),
        workerGroupSpecs=_list(_ray("WorkerGroupSpec")),
        enableInTreeAutoscaling=FLAG,
        autoscalerOptions=_ray("AutoscalerOptions"),
        authOptions=_ray("AuthOptions"),
        tlsOptions=_fields(enabled=FLAG),
        networkPolicy=_ray("NetworkPolicyConfig"),
        gcsFaultToleranceOptions=_ray("GcsFaultToleranceOptions"),
        historyServerOptions=_fields(collectorOptions=_ray("CollectorOptions")),
        upgradeStrategy=_fields(type=_choice("Recreate", "None")),
        headServiceAnnotations=TEXTS,
        managedBy=MANAGED_BY,
        suspend=FLAG,
    ),
    "HeadGroupSpec": _fields(
        "template",
        template=_core("PodTemplateSpec"),
        rayStartParams=TEXTS,
        resources=TEXTS,
        labels=TEXTS,
        serviceType=_choice("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
        headService=_core("Service"),
        enableIngress=FLAG,
        ingressOptions=_fields(
            host=TEXT,
            path=TEXT,
            pathType=_choice("Exact", "Prefix", "ImplementationSpecific"),
            tls=_list(_networking("IngressTLS")),
        ),
    ),
    "WorkerGroupSpec": _fields(
        "groupName",
        "template",
        groupName=TEXT,
        template=_core("PodTemplateSpec"),
        replicas=COUNT,
        minReplicas=COUNT,
        maxReplicas=COUNT,
        numOfHosts=WHOLE,
        idleTimeoutSeconds=COUNT,
        priority=WHOLE,
        rayStartParams=TEXTS,
        resources=TEXTS,
        labels=TEXTS,
        scaleStrategy=_fields(workersToDelete=_list(TEXT)),
        suspend=FLAG,
    ),
    "AutoscalerOptions": _fields(
        version=_choice("v1", "v2"),
        upscalingMode=_choice("Default", "Aggressive", "Conservative"),
        idleTimeoutSeconds=COUNT,
        resources=_core("ResourceRequirements"),
        image=TEXT,
        imagePullPolicy=PULL,
        securityContext=_core("SecurityContext"),
        env=_list(_core("EnvVar")),
        envFrom=_list(_core("EnvFromSource")),
        volumeMounts=_list(_core("VolumeMount")),
        command=_list(TEXT),
        args=_list(TEXT),
    ),
    "AuthOptions": _fields(
        mode=_choice("disabled", "token"), secretName=TEXT, enableK8sTokenAuth=FLAG
    ),
    "NetworkPolicyConfig": _fields(
        mode=_choice("DenyAll", "DenyAllIngress", "DenyAllEgress"),
        head=_fields(**RULES),
        worker=_fields(**RULES),
        workerGroups=_list(_fields("groupName", groupName=TEXT, **RULES)),
    ),
    "GcsFaultToleranceOptions": _fields(
        backend=_choice("redis", "rocksdb"),
        redisAddress=TEXT,
        redisUsername=_ray("RedisCredential"),
        redisPassword=_ray("RedisCredential"),
        externalStorageNamespace=TEXT,
        storage=_fields(
            claimName=TEXT,
            size=QUANTITY,
            storageClassName=TEXT,
            accessModes=_list(TEXT),
            subPath=TEXT,
            deletionPolicy=_choice("DeleteWithCluster", "Retain"),
        ),
    ),
    "RedisCredential": _fields(value=TEXT, valueFrom=_core("EnvVarSource")),
    "CollectorOptions": _fields(
        image=TEXT,
        imagePullPolicy=PULL,
        resources=_core("ResourceRequirements"),
        env=_list(_core("EnvVar")),
    ),
    "RayJobSpec": _fields(
        entrypoint=TEXT,
        runtimeEnvYAML=TEXT,
        rayClusterSpec=_ray("RayClusterSpec"),
        clusterSelector=TEXTS,
        submissionMode=_choice("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
        submitterPodTemplate=_core("PodTemplateSpec"),
        submitterConfig=_fields(backoffLimit=WHOLE),
        activeDeadlineSeconds=POSITIVE,
        preRunningDeadlineSeconds=POSITIVE,
        backoffLimit=COUNT,
        shutdownAfterJobFinishes=FLAG,
        ttlSecondsAfterFinished=COUNT,
        deletionStrategy=_fields(
            onSuccess=_fields(policy=DELETION),
            onFailure=_fields(policy=DELETION),
            deletionRules=_list(_ray("DeletionRule")),
        ),
        entrypointNumCpus=NUMBER,
        entrypointNumGpus=NUMBER,
        entrypointResources=TEXT,
        jobId=TEXT,
        metadata=TEXTS,
        managedBy=MANAGED_BY,
        suspend=FLAG,
    ),
    "DeletionRule": _fields(
        "policy",
        "condition",
        policy=DELETION,
        condition=_fields(jobStatus=TEXT, jobDeploymentStatus=TEXT, ttlSeconds=COUNT),
    ),
    "RayCronJobSpec": _fields(
        "jobTemplate",
        "schedule",
        jobTemplate=_ray("RayJobSpec"),
        schedule=TEXT,
        timeZone={"type": "string", "minLength": 1},
        suspend=FLAG,
    ),
}
