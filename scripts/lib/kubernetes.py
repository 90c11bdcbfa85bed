"""kubernetes: the files of deploy/kubernetes against the schemas of Kubernetes, and against each other."""

import re
import tempfile
from pathlib import Path

import child
import cli
from child import Failure, run_main
from loader import seconds
from programs import Programs

SCRIPT = "scripts/kubernetes.sh"
FOLDER = Path("deploy/kubernetes")
KUSTOMIZATION = "kustomization.yaml"
VERSION = "1.31"
# Kinds that Kubernetes does not define itself.
WITHOUT_SCHEMA = {"PodMonitor", "Kustomization"}


def modules():
    """The Python modules that only this script needs."""
    try:
        import kubernetes_validate
        import yaml
    except ImportError as error:
        raise Failure(f"the Python module {error.name} is missing: pip install kubernetes-validate") from error
    return kubernetes_validate, yaml


def read(yaml):
    """All objects of the folder, by kind."""
    objects = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document["kind"] in objects:
                raise Failure(f"{path}: there are two objects of the kind {document['kind']}")
            objects[document["kind"]] = document
    return objects


def check_schemas(objects, kubernetes_validate):
    """Fail for a field that Kubernetes does not know, or a value of another type."""
    for kind, document in objects.items():
        if kind in WITHOUT_SCHEMA:
            continue
        try:
            kubernetes_validate.validate(document, VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise Failure(f"the {kind} is not valid in Kubernetes {VERSION}: {error.message}") from error


def check_references(objects, names):
    """Fail if an object names what no other object has. `names` are the files of the folder."""
    listed = set(objects["Kustomization"]["resources"])
    if listed != names - {KUSTOMIZATION}:
        raise Failure(f"{KUSTOMIZATION} does not list {', '.join(listed ^ (names - {KUSTOMIZATION}))}")
    template = objects["Deployment"]["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    selectors = {
        "Deployment": objects["Deployment"]["spec"]["selector"]["matchLabels"],
        "Service": objects["Service"]["spec"]["selector"],
        "PodDisruptionBudget": objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        "PodMonitor": objects["PodMonitor"]["spec"]["selector"]["matchLabels"],
        "NetworkPolicy": objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    }
    for kind, selector in selectors.items():
        if not selector.items() <= labels:
            raise Failure(f"the {kind} selects {selector}, and the pods have {dict(labels)}")
    container = template["spec"]["containers"][0]
    ports = {port["name"] for port in container["ports"]}
    used = [port["targetPort"] for port in objects["Service"]["spec"]["ports"]]
    used += [endpoint["port"] for endpoint in objects["PodMonitor"]["spec"]["podMetricsEndpoints"]]
    used += [container[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe")]
    used += [port["port"] for rule in objects["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]]
    if not set(used) <= ports:
        raise Failure(f"the ports {', '.join(set(used) - ports)} are named, and the pods have {', '.join(ports)}")


def check_configuration(objects, evshard):
    """Fail if the server would refuse its configuration, or has another port or less time than the pods have."""
    text = objects["ConfigMap"]["data"]["evshard.toml"]
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        child.run([evshard, "check-config", file.name], "evshard check-config")
    configuration = dict(re.findall(r"^([a-z-]+) = (.+)$", text, re.MULTILINE))
    drain = sum(seconds(configuration[key].strip('"')) for key in ("drain-delay", "drain-timeout"))
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    if pod["terminationGracePeriodSeconds"] <= drain:
        raise Failure(f"terminationGracePeriodSeconds is {pod['terminationGracePeriodSeconds']}, and a drain takes up to "
                      f"{drain:.0f} s: choose more")
    ports = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
    for key, port in ("listen", ports["echo"]), ("admin", ports["admin"]):
        if f":{port}\"" not in configuration[key]:
            raise Failure(f"{key} is {configuration[key]}, and the port of the pods is {port}")


def main():
    """Check all files."""
    args = cli.Parser(
        SCRIPT,
        f"Checks the files of {FOLDER} against the schemas of Kubernetes {VERSION}, and against each other: selectors,\n"
        "ports, the time of a drain, and the configuration of the server. A PodMonitor has no schema here.\n"
        "It needs the Python package kubernetes-validate.",
        f"{SCRIPT} --bin-dir target/debug",
    ).parse_args()
    programs = Programs(args.bin_dir)
    kubernetes_validate, yaml = modules()
    objects = read(yaml)
    check_schemas(objects, kubernetes_validate)
    check_references(objects, {path.name for path in FOLDER.glob("*.yaml")})
    check_configuration(objects, programs.evshard)
    print(f"{len(objects)} objects are valid, and agree with each other")


if __name__ == "__main__":
    run_main(main)
