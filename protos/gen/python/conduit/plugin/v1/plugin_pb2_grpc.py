# Generated from conduit/plugin/v1/plugin.proto, which has the comments. Do not edit.
"""Services of conduit/plugin/v1/plugin.proto."""
import grpc

from conduit.plugin.v1 import plugin_pb2


class PluginServiceStub:
    """Calls conduit.plugin.v1.PluginService."""

    def __init__(self, channel):
        self.Describe = channel.unary_unary(
            "/conduit.plugin.v1.PluginService/Describe",
            request_serializer=plugin_pb2.DescribeRequest.SerializeToString,
            response_deserializer=plugin_pb2.DescribeResponse.FromString,
        )


class PluginServiceServicer:
    """Serves conduit.plugin.v1.PluginService."""

    def Describe(self, request, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Describe is not served")


def add_PluginServiceServicer_to_server(servicer, server):
    """Has a server serve conduit.plugin.v1.PluginService."""
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler("conduit.plugin.v1.PluginService", {
            "Describe": grpc.unary_unary_rpc_method_handler(
                servicer.Describe,
                request_deserializer=plugin_pb2.DescribeRequest.FromString,
                response_serializer=plugin_pb2.DescribeResponse.SerializeToString,
            ),
        }),
    ))
