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
LOADER = FOLDER / "loadgen"
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
    """All objects of the server, by kind."""
    objects = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document["kind"] in objects:
                raise Failure(f"{path}: there are two objects of the kind {document['kind']}")
            objects[document["kind"]] = document
    return objects


def read_loader(yaml):
    """The objects of the loader, by the name of the file."""
    return {path.name: yaml.safe_load(path.read_text()) for path in sorted(LOADER.glob("*.yaml"))}


def check_schemas(documents, kubernetes_validate):
    """Fail for a field that Kubernetes does not know, or a value of another type."""
    for document in documents:
        if document["kind"] in WITHOUT_SCHEMA:
            continue
        try:
            kubernetes_validate.validate(document, VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            name = f"{document['kind']} {document['metadata']['name']}"
            raise Failure(f"the {name} is not valid in Kubernetes {VERSION}: {error.message}") from error


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


def check_loader(documents):
    """Fail if the agents would not find the coordinator, or it would expect another number of them."""
    listed = set(documents[KUSTOMIZATION]["resources"])
    if differ := listed ^ (documents.keys() - {KUSTOMIZATION}):
        raise Failure(f"{LOADER / KUSTOMIZATION} and the files of its folder differ: {', '.join(differ)}")
    service, coordinator, agents = (documents[name] for name in ("service.yaml", "coordinator.yaml", "agents.yaml"))
    pod = coordinator["spec"]["template"]
    if not service["spec"]["selector"].items() <= pod["metadata"]["labels"].items():
        raise Failure("the Service of the loader does not select the coordinator")
    port, = service["spec"]["ports"]
    container, agent = pod["spec"]["containers"][0], agents["spec"]["template"]["spec"]["containers"][0]
    scheme, _, listens = option(container["args"], "--agents").partition("://")
    listens = listens.rpartition(":")[2]
    address = f"{scheme}://{service['metadata']['name']}:{port['port']}"
    if option(agent["args"], "--connect") != address:
        raise Failure(f"the agents connect to {option(agent['args'], '--connect')}, and the coordinator is {address}")
    ports = {one["name"]: str(one["containerPort"]) for one in container["ports"]}
    if {str(port["port"]), ports[port["targetPort"]]} != {listens}:
        raise Failure(f"the coordinator listens on port {listens}, and its Service and its pod have others")
    expected = int(option(container["args"], "--expect"))
    if {agents["spec"]["completions"], agents["spec"]["parallelism"]} != {expected}:
        raise Failure(f"the coordinator expects {expected} agents: make completions and parallelism the same")


def option(words, flag):
    """The value of a flag."""
    return words[words.index(flag) + 1]


def main():
    """Check all files."""
    args = cli.Parser(
        SCRIPT,
        f"Checks the files of {FOLDER} against the schemas of Kubernetes {VERSION}, and against each other: selectors,\n"
        "ports, the time of a drain, the configuration of the server, and the number of the loader's agents.\n"
        "A PodMonitor has no schema here.\n"
        "It needs the Python package kubernetes-validate.",
        f"{SCRIPT} --bin-dir target/debug",
    ).parse_args()
    programs = Programs(args.bin_dir)
    kubernetes_validate, yaml = modules()
    objects, loader = read(yaml), read_loader(yaml)
    check_schemas([*objects.values(), *loader.values()], kubernetes_validate)
    check_loader(loader)
    check_references(objects, {path.name for path in FOLDER.glob("*.yaml")})
    check_configuration(objects, programs.evshard)
    print(f"{len(objects) + len(loader)} objects are valid, and agree with each other")


if __name__ == "__main__":
    run_main(main)
