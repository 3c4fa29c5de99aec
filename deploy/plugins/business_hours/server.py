"""business-hours: workloads with a label are called in business hours only (Policy hook).

Policies are data: while it is closed there is a Deny for each workload with the label, and none while it is open. Proxies hold
the last ones, so that a plugin which is gone neither opens nor closes anything.
"""
import datetime
import json
import os
import queue
import signal
import sys
import threading
import zoneinfo
from concurrent import futures
from pathlib import Path

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict

# The API's code: a copy beside this file, as `conduit plugin new` makes one, or the one of this tree.
TREE = Path(__file__).resolve().parents[3] / "protos" / "gen" / "python"
if not (Path(__file__).parent / "conduit").exists():
    sys.path.insert(0, str(TREE))
    sys.dont_write_bytecode = True  # nothing of ours belongs among what is generated

from conduit.plugin.v1 import plugin_pb2, plugin_pb2_grpc, policy_pb2, policy_pb2_grpc  # noqa: E402

DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
TIME = "^([01][0-9]|2[0-3]):[0-5][0-9]$"
SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "description": "label of the pods that have business hours"},
        "timezone": {"type": "string", "description": "such as Europe/Berlin"},
        "open": {
            "type": "array",
            "maxItems": 50,
            "items": {
                "type": "object",
                "properties": {
                    "days": {"type": "array", "items": {"enum": DAYS}, "minItems": 1},
                    "from": {"type": "string", "pattern": TIME},
                    "to": {"type": "string", "pattern": TIME},
                },
                "required": ["days", "from", "to"],
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
DEFAULT_OPEN = [{"days": DAYS[:5], "from": "08:00", "to": "18:00"}]
# How often the clock is looked at, in seconds: how late it may open or close.
LOOK_SECONDS = 1.0


def problems(configuration):
    """What is wrong with a configuration beyond the schema: pairs of a JSON Pointer and a sentence."""
    found = []
    timezone = configuration.get("timezone", "UTC")
    try:
        zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        found.append(("/timezone", f"there is no time zone {timezone!r}; write one such as Europe/Berlin"))
    hours = configuration.get("open", [])
    for index, one in enumerate(hours if isinstance(hours, list) else []):
        if isinstance(one, dict) and str(one.get("from", "")) >= str(one.get("to", "~")):
            found.append((f"/open/{index}/to", "must be later than from; hours over midnight are two entries"))
    return found


def is_open(configuration, now):
    """Whether it is open at a time (a datetime with its zone)."""
    local = now.astimezone(zoneinfo.ZoneInfo(configuration.get("timezone", "UTC")))
    day, clock = DAYS[local.weekday()], local.strftime("%H:%M")
    return any(
        day in one["days"] and one["from"] <= clock < one["to"] for one in configuration.get("open", DEFAULT_OPEN)
    )


def hours_text(configuration):
    """The hours for people, such as `Mon-Fri 08:00-18:00 UTC`."""
    parts = []
    for one in configuration.get("open", DEFAULT_OPEN):
        days = one["days"]
        text = f"{days[0]}-{days[-1]}" if len(days) > 2 else ",".join(days)
        parts.append(f"{text} {one['from']}-{one['to']}")
    return f"{', '.join(parts) or 'never'} {configuration.get('timezone', 'UTC')}"


class Stream:
    """What one process of the control plane has told."""

    def __init__(self):
        self.configuration = {}
        self.workloads = {}

    def take(self, request):
        if request.HasField("context"):
            self.configuration = MessageToDict(request.context.configuration)
        for workload in request.changed:
            self.workloads[(workload.namespace, workload.kind, workload.name)] = dict(workload.labels)
        for workload in request.removed:
            self.workloads.pop((workload.namespace, workload.kind, workload.name), None)

    def answer(self, now):
        """The policies that hold at a time."""
        answer = policy_pb2.SupplyResponse()
        if is_open(self.configuration, now):
            return answer
        label = self.configuration.get("label", "business-hours")
        kinds = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}
        for (namespace, kind, name), labels in sorted(self.workloads.items()):
            if label not in labels or kind not in kinds or len(answer.policies) == 1000:
                continue
            policy = answer.policies.add(
                namespace=namespace,
                # Names of policies are at most 63 characters; workloads' own may be longer.
                name=f"closed-{kind[0]}-{name.replace('.', '-')[:50]}".rstrip("-"),
                reason=f"outside of business hours ({hours_text(self.configuration)})",
            )
            everyone = [{"identities": ["*"]}, {"networks": ["0.0.0.0/0", "::/0"]}]
            spec = {"target": {"kind": kinds[kind], "name": name}, "action": "Deny", "rules": [{"from": everyone}]}
            ParseDict(spec, policy.spec)
        return answer


class Plugin(plugin_pb2_grpc.PluginServiceServicer, policy_pb2_grpc.PolicyHookServiceServicer):
    """The plugin. `clock` gives the time, with its zone."""

    def __init__(self, clock):
        self.clock = clock

    def Describe(self, request, context):
        configuration = MessageToDict(request.context.configuration)
        return plugin_pb2.DescribeResponse(
            name="business-hours",
            version="1.0.0",
            api_versions=["v1"],
            hooks=[plugin_pb2.HOOK_POLICY],
            configuration_schema=json.dumps(SCHEMA),
            problems=[plugin_pb2.ConfigurationProblem(path=path, message=text) for path, text in problems(configuration)],
        )

    def Supply(self, request_iterator, context):
        told = queue.Queue(maxsize=16)

        def read():
            try:
                for request in request_iterator:
                    told.put(request)
            except Exception:  # The client is gone; the stream ends all the same.
                pass
            told.put(None)

        threading.Thread(target=read, daemon=True).start()
        stream, complete, last = Stream(), False, None
        while context.is_active():
            try:
                request = told.get(timeout=LOOK_SECONDS)
                if request is None:
                    return
                stream.take(request)
                complete = complete or request.complete
            except queue.Empty:
                pass
            if not complete or not told.empty():
                continue
            answer = stream.answer(self.clock())
            if answer != last:
                yield answer
                last = answer


def start(address, clock=lambda: datetime.datetime.now(datetime.timezone.utc)):
    """Starts the plugin; gives the server and its port."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64))
    plugin = Plugin(clock)
    plugin_pb2_grpc.add_PluginServiceServicer_to_server(plugin, server)
    policy_pb2_grpc.add_PolicyHookServiceServicer_to_server(plugin, server)
    port = server.add_insecure_port(address)
    server.start()
    return server, port


def main():
    """Serves until it is told to end."""
    server, port = start(f"{os.environ.get('HOST', '0.0.0.0')}:{os.environ.get('PORT', '9090')}")
    print(f"business-hours listens on port {port}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=1))
    server.wait_for_termination()


if __name__ == "__main__":
    main()
