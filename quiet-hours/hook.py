"""The Policy hook: closes the workloads that the configuration names."""
from conduit.plugin.v1 import policy_pb2, policy_pb2_grpc
from google.protobuf.json_format import MessageToDict, ParseDict

SCHEMA = {
    "type": "object",
    "properties": {
        "closed": {
            "type": "array",
            "description": "Deployments that nobody may call, as namespace/name",
            "items": {"type": "string", "pattern": "^[a-z0-9-]+/[a-z0-9-]+$"},
        }
    },
    "additionalProperties": False,
}


def problems(configuration):
    """What is wrong with a configuration beyond the schema: pairs of a JSON Pointer and a sentence."""
    del configuration
    return []


def policies(configuration):
    """The policies of a configuration."""
    answer = policy_pb2.SupplyResponse()
    for workload in configuration.get("closed", []):
        namespace, name = workload.split("/")
        policy = answer.policies.add(namespace=namespace, name=f"closed-{name}", reason=f"{name} is closed")
        spec = {
            "target": {"kind": "Deployment", "name": name},
            "action": "Deny",
            "rules": [{"from": [{"identities": ["*"]}, {"networks": ["0.0.0.0/0", "::/0"]}]}],
        }
        ParseDict(spec, policy.spec)
    return answer


class Hook(policy_pb2_grpc.PolicyHookServiceServicer):
    def Supply(self, request_iterator, context):
        configuration = {}
        for request in request_iterator:
            if request.HasField("context"):
                configuration = MessageToDict(request.context.configuration)
            # Answer once all workloads have been told of, also when there is nothing to say.
            if request.complete:
                yield policies(configuration)


def add_to(server):
    """Has the server serve the hook."""
    policy_pb2_grpc.add_PolicyHookServiceServicer_to_server(Hook(), server)
