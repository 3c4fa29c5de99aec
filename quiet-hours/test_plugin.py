"""Tests of quiet-hours: as the control plane calls it."""
import unittest

import grpc
from conduit.plugin.v1 import plugin_pb2, plugin_pb2_grpc
from google.protobuf.json_format import ParseDict
from conduit.plugin.v1 import policy_pb2, policy_pb2_grpc

import server


def context_of(**configuration):
    """What every call carries."""
    context = plugin_pb2.Context(plugin="quiet-hours", trust_domain="cluster.local")
    ParseDict(configuration, context.configuration)
    return context


class PluginTest(unittest.TestCase):
    def setUp(self):
        self.server, port = server.start("127.0.0.1:0")
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")

    def tearDown(self):
        self.channel.close()
        self.server.stop(grace=0)

    def test_says_what_it_is(self):
        stub = plugin_pb2_grpc.PluginServiceStub(self.channel)
        said = stub.Describe(plugin_pb2.DescribeRequest(context=context_of(), api_versions=["v1"]), timeout=5)
        self.assertEqual(said.name, "quiet-hours")
        self.assertEqual(list(said.hooks), [plugin_pb2.HOOK_POLICY])

    def test_closes_what_is_named(self):
        requests = [
            policy_pb2.SupplyRequest(context=context_of(closed=["shop/cart"])),
            policy_pb2.SupplyRequest(complete=True),
        ]
        answers = policy_pb2_grpc.PolicyHookServiceStub(self.channel).Supply(iter(requests), timeout=5)
        (policy,) = next(answers).policies
        self.assertEqual((policy.namespace, policy.name), ("shop", "closed-cart"))
        self.assertEqual(policy.spec["action"], "Deny")

if __name__ == "__main__":
    unittest.main()
