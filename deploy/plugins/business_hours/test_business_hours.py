"""Tests of business-hours: as the control plane calls it, on a clock of the tests' own."""
import datetime
import queue
import unittest

import server  # noqa: I001 (it finds the API's code)
import grpc
from conduit.plugin.v1 import plugin_pb2, plugin_pb2_grpc, policy_pb2, policy_pb2_grpc
from google.protobuf.json_format import ParseDict

# A Friday.
FRIDAY = datetime.datetime(2026, 11, 27, 12, 0, tzinfo=datetime.timezone.utc)


def context_of(**configuration):
    context = plugin_pb2.Context(plugin="business-hours")
    ParseDict(configuration, context.configuration)
    return context


class BusinessHoursTest(unittest.TestCase):
    def setUp(self):
        self.now = FRIDAY
        self.server, port = server.start("127.0.0.1:0", clock=lambda: self.now)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.requests = queue.Queue()
        self.stub = policy_pb2_grpc.PolicyHookServiceStub(self.channel)

    def tearDown(self):
        self.requests.put(None)
        self.channel.close()
        self.server.stop(grace=0)

    def supply(self, **configuration):
        """Opens a stream, and tells of two workloads, of which one has business hours."""
        self.requests.put(policy_pb2.SupplyRequest(context=context_of(**configuration)))
        vault = policy_pb2.Workload(namespace="shop", kind="deployment", name="vault", labels={"business-hours": "yes"})
        cart = policy_pb2.Workload(namespace="shop", kind="deployment", name="cart")
        self.requests.put(policy_pb2.SupplyRequest(changed=[vault, cart], complete=True))
        return self.stub.Supply(iter(self.requests.get, None), timeout=20)

    def test_closes_in_the_evening_and_opens_in_the_morning(self):
        answers = self.supply()
        self.assertEqual(len(next(answers).policies), 0)
        self.now = FRIDAY.replace(hour=18)
        (policy,) = next(answers).policies
        self.assertEqual(policy.name, "closed-d-vault")
        self.assertEqual(policy.spec["action"], "Deny")
        self.assertIn("Mon-Fri 08:00-18:00 UTC", policy.reason)
        self.now = FRIDAY + datetime.timedelta(days=3)
        self.assertEqual(len(next(answers).policies), 0)

    def test_a_workload_that_gets_the_label_is_closed_as_well(self):
        answers = self.supply(open=[])
        self.assertEqual(len(next(answers).policies), 1)
        cart = policy_pb2.Workload(namespace="shop", kind="deployment", name="cart", labels={"business-hours": ""})
        self.requests.put(policy_pb2.SupplyRequest(changed=[cart]))
        self.assertEqual(len(next(answers).policies), 2)

    def test_keeps_the_hours_of_a_time_zone(self):
        hours = {"timezone": "Asia/Tokyo", "open": [{"days": ["Fri"], "from": "20:00", "to": "22:00"}]}
        self.assertTrue(server.is_open(hours, FRIDAY))
        self.assertFalse(server.is_open({**hours, "timezone": "UTC"}, FRIDAY))

    def test_says_what_is_wrong_with_a_configuration(self):
        hours = [{"days": ["Mon"], "from": "18:00", "to": "08:00"}]
        context = context_of(timezone="Mars/Base", open=hours)
        said = plugin_pb2_grpc.PluginServiceStub(self.channel).Describe(
            plugin_pb2.DescribeRequest(context=context), timeout=5
        )
        self.assertEqual([problem.path for problem in said.problems], ["/timezone", "/open/0/to"])


if __name__ == "__main__":
    unittest.main()
