"""Validates manifests with the schemas of Kubernetes, and with KServe's own models.

    python manifests.py FILE...

Needs kubernetes-validate, kserve and PyYAML. Prints one line for each document; fails if one is
not valid. Cloud Run's and Compose's have no schema in a package: of those, only the form is checked,
and Cloud Run's containers are taken for a pod's.
"""

import sys

import kserve
import kubernetes_validate
import yaml


def pod(spec):
    """A pod with the containers of another kind of document, for their schema."""
    containers = [dict(c, name=c.get("name", "model")) for c in spec["containers"]]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"},
            "spec": {"containers": containers, "volumes": spec.get("volumes", [])}}


def known(data, kind):
    """Fails for a key that KServe's model of it does not have: its own reader drops them."""
    model = getattr(kserve, kind)
    keys = set(model.attribute_map.values())
    if not set(data) <= keys:
        sys.exit("%s has no %s" % (kind, ", ".join(sorted(set(data) - keys))))
    return model


def validate(document):
    version, kind = document.get("apiVersion"), document.get("kind")
    if version is None:
        for service in document["services"].values():
            assert service["image"] and service["ports"], service
        return "compose: is YAML with an image"
    if version == "serving.knative.dev/v1":
        kubernetes_validate.validate(pod(document["spec"]["template"]["spec"]), "1.33", strict=True)
    elif version.startswith("serving.kserve.io/"):
        spec = document["spec"]
        if kind == "ServingRuntime":
            known(spec, "V1alpha1ServingRuntimeSpec")
            for f in spec["supportedModelFormats"]:
                known(f, "V1alpha1SupportedModelFormat")
            kubernetes_validate.validate(pod(spec), "1.33", strict=True)
        else:
            known(spec, "V1beta1InferenceServiceSpec")
            known(spec["predictor"], "V1beta1PredictorSpec")
            known(spec["predictor"]["model"], "V1beta1ModelSpec")
    else:
        kubernetes_validate.validate(document, "1.33", strict=True)
    return "%s %s: valid" % (version, kind)


def main():
    count = 0
    for name in sys.argv[1:]:
        with open(name) as file:
            for document in yaml.safe_load_all(file):
                print(name, validate(document))
                count += 1
    if count == 0:
        sys.exit("no documents")


main()
